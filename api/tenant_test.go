package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"memexport/internal/service/apikey"
)

func TestAnotherWorkspaceCanNeitherBeReadNorChanged(t *testing.T) {
	t.Parallel()
	s := newService(t)
	theirs, _ := s.publish(t, "json", time.Hour, "x")
	stranger := s.newKey(t, uuid.NewString(), apikey.Permissions...)
	for _, c := range [][2]string{{"GET", ""}, {"HEAD", ""}, {"GET", "/download"}, {"HEAD", "/download"}, {"DELETE", ""}} {
		s.do(t, c[0], "/v1/exports/"+theirs.ID+c[1], "X-Api-Key", stranger).problem(t, 404, "EXPORT_NOT_FOUND")
	}
	list := string(s.do(t, "GET", "/v1/exports", "X-Api-Key", stranger).status(t, 200).body)
	if !strings.Contains(list, `"data":[]`) || !strings.Contains(list, `"total":0`) {
		t.Errorf("the list is %s", list)
	}
	s.do(t, "GET", "/v1/exports/"+theirs.ID+"/download").status(t, 200)

	// Each workspace has its own idempotency keys.
	own := s.do(t, "POST", "/v1/exports", "Idempotency-Key", "k").status(t, 202).job(t).ID
	other := s.do(t, "POST", "/v1/exports?user_id=u", "Idempotency-Key", "k", "X-Api-Key", stranger).status(t, 202).job(t).ID
	if own == other {
		t.Error("two workspaces share an export")
	}
}
