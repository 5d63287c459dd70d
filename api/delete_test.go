package api_test

import (
	"strings"
	"testing"
	"time"
)

func TestADeletedExportIsGone(t *testing.T) {
	t.Parallel()
	s := newService(t)
	e, _ := s.publish(t, "json", time.Hour, "x")
	keep := s.create(t, "json")
	a := s.do(t, "DELETE", "/v1/exports/"+strings.ToUpper(e.ID)).status(t, 204)
	if len(a.body) > 0 {
		t.Errorf("the answer has the body %s", a.body)
	}
	s.do(t, "GET", "/v1/exports/"+e.ID).problem(t, 404, "EXPORT_NOT_FOUND")
	s.do(t, "GET", "/v1/exports/"+e.ID+"/download").problem(t, 404, "EXPORT_NOT_FOUND")
	s.do(t, "DELETE", "/v1/exports/"+e.ID).problem(t, 404, "EXPORT_NOT_FOUND")
	list := string(s.do(t, "GET", "/v1/exports").status(t, 200).body)
	if strings.Contains(list, e.ID) || !strings.Contains(list, keep.ID) || !strings.Contains(list, `"total":1`) {
		t.Errorf("the list is %s", list)
	}
	if !strings.Contains(s.log.String(), "could not be cancelled") {
		t.Error("the log does not say that the workflow was not cancelled")
	}
}
