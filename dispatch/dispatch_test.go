package dispatch_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"memexport/dispatch"
	"memexport/internal/service/export"
	"memexport/internal/workshop/await"
	"memexport/internal/workshop/devstack"
	"memexport/internal/workshop/pgtest"
	"memexport/internal/workshop/process"
	"memexport/workflows"
)

func TestMain(m *testing.M) { pgtest.Main(m, pgtest.Migrate) }

// site is a dispatcher with its own database, in which each workspace may run one export at a time.
type site struct {
	*testing.T
	*dispatch.Dispatcher
	db     *sqlx.DB
	client client.Client
	log    *process.Buffer
}

func newSite(t *testing.T, temporal string) *site {
	t.Helper()
	c, err := client.NewLazyClient(client.Options{HostPort: temporal, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	s := &site{T: t, db: pgtest.Open(t, 8), client: c, log: &process.Buffer{}}
	s.Dispatcher = &dispatch.Dispatcher{
		Exports: export.NewStore(s.db).WithLimits(export.Limits{Running: 1}),
		Starter: workflows.NewStarter(c, "default", t.Name()),
		Log:     slog.New(slog.NewTextHandler(s.log, nil)),
	}
	return s
}

func startTemporal(t *testing.T) (address string) {
	t.Helper()
	server, err := devstack.StartTemporal(t.Context(), devstack.TemporalOptions{Dir: t.TempDir(), InMemory: true, Headless: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return server.Address
}

// queue creates n+1 exports of a workspace and ends the first one, so that the second may run. It returns
// the ids of the n exports that have not ended.
func (s *site) queue(workspaceID string, n int) (waiting []string) {
	s.Helper()
	for range n + 1 {
		waiting = append(waiting, s.create(workspaceID))
	}
	s.end(waiting[0])
	return waiting[1:]
}

func (s *site) create(workspaceID string) (id string) {
	s.Helper()
	e, err := s.Exports.Create(s.Context(), export.Export{WorkspaceID: workspaceID, Format: "json"})
	if err != nil {
		s.Fatal(err)
	}
	return e.ID
}

func (s *site) end(id string) {
	s.Helper()
	if err := s.Exports.Fail(s.Context(), id, export.Failures[export.CodeInternal]); err != nil {
		s.Fatal(err)
	}
}

// wantStarted checks every export in all: it must have a workflow if it is in want, and otherwise no
// workflow.
func (s *site) wantStarted(all []string, want ...string) {
	s.Helper()
	for _, id := range all {
		_, err := s.client.DescribeWorkflowExecution(s.Context(), export.WorkflowID(id), "")
		var notFound *serviceerror.NotFound
		if err != nil && !errors.As(err, &notFound) {
			s.Fatal(err)
		}
		if started := err == nil; started != slices.Contains(want, id) {
			s.Errorf("export %d has a workflow: %v", slices.Index(all, id), started)
		}
	}
}

func TestWaitingExportsAreStartedByTurns(t *testing.T) {
	s := newSite(t, startTemporal(t))
	flood, other := uuid.NewString(), uuid.NewString()
	many, few := s.queue(flood, 4), s.queue(other, 1)

	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	s.Next(cancelled, flood) // an activity that is being cancelled makes such a call
	s.wantStarted(many, many[0])
	s.wantStarted(few)
	s.Next(t.Context(), flood) // no export may run now, because one is running already
	s.wantStarted(many, many[0])
	s.end(many[0])

	done, err := s.All(t.Context())
	if err != nil || done != (dispatch.Done{Dispatched: 2}) {
		t.Errorf("%+v, %v", done, err)
	}
	s.wantStarted(many, many[:2]...)
	s.wantStarted(few, few...)
	if log := s.log.String(); log != "" {
		t.Errorf("the log says %s", log)
	}
}

func TestAPlaceThatAllShareGoesToTheWorkspaceWhoseTurnItIs(t *testing.T) {
	s := newSite(t, startTemporal(t))
	s.Exports = s.Exports.WithLimits(export.Limits{Running: 2, AllRunning: 2})
	flood, other := uuid.NewString(), uuid.NewString()
	var many []string
	for range 4 {
		many = append(many, s.create(flood))
	}
	few := []string{s.create(other)}
	s.end(many[0])
	s.Next(t.Context(), flood)
	s.wantStarted(few, few...)
	s.wantStarted(many) // the dispatcher did not start the workflow of the export that runs
	s.end(few[0])
	s.end(many[1])
	done, err := s.All(t.Context())
	if err != nil || done != (dispatch.Done{Dispatched: 2}) {
		t.Errorf("%+v, %v", done, err)
	}
	s.wantStarted(many, many[2:]...)
}

func TestAFailureIsLoggedAndLeavesTheExportToTheReconciler(t *testing.T) {
	s := newSite(t, "127.0.0.1:1")
	workspace := uuid.NewString()
	waiting := s.queue(workspace, 2)
	s.Timeout = 8 * time.Second // this is longer than Next waits
	began := time.Now()
	s.Next(t.Context(), workspace)
	if took := time.Since(began); took > 6*time.Second {
		t.Errorf("Next took %s without Temporal", took)
	}
	warnings := func() int { return strings.Count(s.log.String(), "the reconciler tries again") }
	await.True(t, time.Minute, "the failure is logged", func() bool { return warnings() == 1 })
	if log := s.log.String(); !strings.Contains(log, workspace) {
		t.Errorf("the log says %q", log)
	}
	if e, err := s.Exports.Find(t.Context(), waiting[0]); err != nil || e.DispatchedAt == nil {
		t.Errorf("%+v, %v", e, err)
	}
	s.db.Close()
	s.Next(t.Context(), workspace)
	await.True(t, time.Minute, "the second failure is logged", func() bool { return warnings() == 2 })
	if _, err := s.All(t.Context()); err == nil {
		t.Error("All succeeds without a database")
	}
}
