package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"memexport/internal/service/admin"
)

func listen(t *testing.T, parts ...string) *admin.Server {
	t.Helper()
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "up 1") })
	s, err := admin.Listen("127.0.0.1:0", admin.Options{Parts: parts, Metrics: metrics, Version: "1.2.3", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func get(t *testing.T, s *admin.Server, path string) (status int, body string) {
	t.Helper()
	response, err := http.Get(s.URL() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// wantReady checks the answer to /readyz. An empty problem means that the process is ready.
func wantReady(t *testing.T, s *admin.Server, problem string) admin.State {
	t.Helper()
	status, body := get(t, s, "/readyz")
	var state admin.State
	if err := json.Unmarshal([]byte(body), &state); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	ready := problem == ""
	if (status == 200) != ready || (state.Status == "ready") != ready || !strings.Contains(state.Problem, problem) || ready && state.Problem != "" {
		t.Errorf("/readyz answers %d, %s; want the problem %q", status, body, problem)
	}
	return state
}

func fine(context.Context) (any, error) { return map[string]int{"pollers": 2}, nil }

func TestAProcessIsReadyOnceAllItsPartsAre(t *testing.T) {
	s := listen(t, "api", "worker")
	wantReady(t, s, "api: it is starting")
	s.SetCheck("api", fine)
	wantReady(t, s, "worker: it is starting")
	if err := s.Ready(t.Context(), "api"); err != nil {
		t.Error("the API waits for the worker:", err)
	}
	s.SetCheck("worker", func(context.Context) (any, error) { return nil, errors.New("no pollers: start one") })
	wantReady(t, s, "worker: no pollers: start one")
	s.SetCheck("worker", fine)
	state := wantReady(t, s, "")
	if state.Version != "1.2.3" || fmt.Sprint(state.Parts["worker"].Details) != "map[pollers:2]" {
		t.Errorf("/readyz answers %+v", state)
	}
	s.Stopping()
	wantReady(t, s, "stopping")
	if err := s.Ready(t.Context(), "api"); err == nil {
		t.Error("the API is ready while the process stops")
	}
	if status, body := get(t, s, "/healthz"); status != 200 || !strings.Contains(body, "1.2.3") {
		t.Errorf("/healthz of a process that stops answers %d, %s", status, body)
	}
}

func TestACheckThatNeverReturnsIsAnsweredWithinTheLimit(t *testing.T) {
	s := listen(t, "worker")
	running, release := make(chan struct{}, 10), make(chan struct{})
	defer close(release)
	s.SetCheck("worker", func(context.Context) (any, error) { // this check ignores its context
		running <- struct{}{}
		<-release
		return nil, nil
	})
	began := time.Now()
	answers := make(chan struct{})
	for range 3 {
		go func() { wantReady(t, s, "did not end within"); answers <- struct{}{} }()
	}
	for range 3 {
		<-answers
	}
	wantReady(t, s, "did not end within")
	if took := time.Since(began); took > 4*admin.Limit {
		t.Errorf("two rounds of answers took %s", took)
	}
	if len(running) != 1 {
		t.Errorf("%d checks hang, want 1", len(running))
	}
}

func TestMetricsAreServedIfThereAreAny(t *testing.T) {
	if status, body := get(t, listen(t), "/metrics"); status != 200 || body != "up 1\n" {
		t.Errorf("/metrics answers %d, %q", status, body)
	}
	s, err := admin.Listen("127.0.0.1:0", admin.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(t.Context())
	if status, _ := get(t, s, "/metrics"); status != 404 {
		t.Errorf("without a handler, /metrics answers %d", status)
	}
}

func TestATakenAddressIsRefusedWithARemedy(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, err = admin.Listen(taken.Addr().String(), admin.Options{Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "ADMIN_ADDR") || !strings.Contains(err.Error(), "off") || !strings.Contains(err.Error(), taken.Addr().String()) {
		t.Errorf("the error is %v", err)
	}
}

func TestAServerThatIsOffServesNothing(t *testing.T) {
	s, err := admin.Listen(admin.Off, admin.Options{Parts: []string{"api"}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s.SetCheck("api", fine)
	if err := s.Ready(t.Context(), "api"); err != nil || s.URL() != "" {
		t.Errorf("it has the URL %q and is ready: %v", s.URL(), err)
	}
	s.Stopping()
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
