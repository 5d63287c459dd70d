//go:build unix

package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"go.temporal.io/sdk/client"

	"memexport/api"
	"memexport/internal/service/archive"
	"memexport/internal/workshop/pgtest"
	"memexport/workflows"
)

// Postgres that hangs still accepts connections, but never answers. Every request must get a 503 soon after
// its time limit, which is 5 seconds for /readyz and 10 seconds for other requests.
func TestEveryRequestIsAnsweredWhilePostgresHangs(t *testing.T) {
	var db *sqlx.DB
	s := newService(t, func(o *api.Options) { o.Ready = func(ctx context.Context) error { return db.PingContext(ctx) } })
	db = s.db
	ready, _ := s.publish(t, "json", time.Hour, `{"id":1}`)
	pending := s.create(t, "json")
	s.do(t, "GET", "/readyz").status(t, http.StatusOK)
	var group sync.WaitGroup
	ask := func(request string, header ...string) {
		group.Go(func() {
			if err := s.wantUnavailable(request, header...); err != nil {
				t.Errorf("%s %q: %v", request, header, err)
			}
		})
	}
	ask("GET /v1/exports/"+pending.ID, "Prefer", "wait=30") // waits already when Postgres begins to hang
	time.Sleep(time.Second)
	thaw := pgtest.Freeze(t)
	for _, request := range []string{"GET /readyz", "POST /v1/exports", "GET /v1/exports", "GET /v1/exports/" + pending.ID,
		"DELETE /v1/exports/" + pending.ID, "GET /v1/exports/" + ready.ID + "/download"} {
		ask(request)
	}
	group.Wait()
	thaw()
	s.do(t, "GET", "/readyz").status(t, http.StatusOK)
	s.do(t, "GET", "/v1/exports/"+pending.ID).status(t, http.StatusOK)
}

// wantUnavailable sends a request and returns an error unless the answer is 503 within 20 seconds, which
// leaves a busy machine 10 seconds more than the limit.
func (s *service) wantUnavailable(request string, header ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	method, path, _ := strings.Cut(request, " ")
	r, err := http.NewRequestWithContext(ctx, method, s.url+path, nil)
	if err != nil {
		return err
	}
	r.Header.Set("X-Api-Key", s.key)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var p api.Problem
	if err := json.NewDecoder(response.Body).Decode(&p); err != nil || response.StatusCode != http.StatusServiceUnavailable || p.Code != "UNAVAILABLE" {
		return fmt.Errorf("%s, code %q: %v", response.Status, p.Code, err)
	}
	return nil
}

// On a disk that hangs, the calls open and read do not return. This happens on a network file system if its server
// is away. This test imitates such a disk with a named pipe without a writer: opening the pipe for reading does not
// return.
func TestADownloadIsAnsweredWhileTheDiskHangs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files, err := archive.Open(t.Context(), "file://"+dir, archive.Options{StallTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { files.Close() })
	s := newService(t, func(o *api.Options) { o.Archive = files })
	s.archive, s.dir = files, dir
	e, _ := s.publish(t, "csv", time.Hour, "first")
	part := s.partPath(t, e.ID, 0)
	if err := errors.Join(os.Remove(part), syscall.Mkfifo(part, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := s.wantUnavailable("GET /v1/exports/" + e.ID + "/download"); err != nil {
		t.Error(err)
	}
	s.do(t, "GET", "/v1/exports/"+e.ID).status(t, http.StatusOK)
	writer, err := os.OpenFile(part, os.O_RDWR, 0) // end the API's call of open, which waits for a writer
	if err != nil {
		t.Fatal(err)
	}
	writer.Close()
}

// Temporal that hangs accepts connections, but never answers. The API must answer every request all the same.
func TestRequestsAreAnsweredWhileTemporalHangs(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts connections; this process does not
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	temporal, err := client.NewLazyClient(client.Options{HostPort: listener.Addr().String(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(temporal.Close)
	s := newService(t, func(o *api.Options) { o.Starter = workflows.NewStarter(temporal, "default", "memexport") })
	began := time.Now()
	created := s.do(t, "POST", "/v1/exports").status(t, http.StatusAccepted).job(t)
	s.do(t, "GET", "/v1/exports/"+created.ID).status(t, http.StatusOK)
	s.do(t, "DELETE", "/v1/exports/"+created.ID).status(t, http.StatusNoContent)
	if took := time.Since(began); took > 15*time.Second { // two calls to Temporal take at most 2 seconds each; the rest is slack for a busy machine
		t.Errorf("the answers took %s", took)
	}
}
