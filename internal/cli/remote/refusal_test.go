package remote

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"memexport/client"
	"memexport/internal/cli/progress"
)

func TestARefusalByALimitIsTriedAgainAndSaysWhichLimit(t *testing.T) {
	requests := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests++
		refuse(w, http.StatusTooManyRequests, "EXPORT_LIMIT_REACHED", "Wait. The limit is 1000 exports.")
	}))
	defer server.Close()
	svc, err := New(Options{URL: server.URL, RetryFor: time.Second, FirstFor: time.Second, Report: progress.Silent()})
	if err != nil {
		t.Fatal(err)
	}
	_, err = svc.Create(t.Context(), client.CreateExportParams{})
	if err == nil || !strings.Contains(err.Error(), "The limit is 1000 exports. (429 EXPORT_LIMIT_REACHED)") {
		t.Errorf("the error is %v", err)
	}
	if requests < 2 {
		t.Errorf("%d requests were sent", requests)
	}
}

// refuse answers as the API does when it refuses a request.
func refuse(w http.ResponseWriter, status int, code, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"type":"about:blank","title":%q,"status":%d,"code":%q,"detail":%q}`, http.StatusText(status), status, code, detail)
}
