package erasure_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"memexport/activities"
	"memexport/dispatch"
	"memexport/erasure"
	"memexport/internal/service/apikey"
	"memexport/internal/service/archive"
	"memexport/internal/service/audit"
	"memexport/internal/service/export"
	"memexport/internal/service/memory"
	"memexport/internal/workshop/await"
	"memexport/internal/workshop/demo"
	"memexport/internal/workshop/pgtest"
	"memexport/internal/workshop/temporaltest"
	"memexport/reconcile"
	"memexport/worker"
	"memexport/workflows"
)

// patience limits every wait for something that takes a few seconds at most on an idle machine.
const patience = time.Minute

func TestMain(m *testing.M) { pgtest.Main(m, pgtest.Migrate, demo.CreateTable) }

// site is a real service with one worker: a database, a Temporal server and a bucket.
type site struct {
	*testing.T
	db      *sqlx.DB
	client  client.Client
	exports *export.Store
	archive *archive.Archive
	starter *workflows.Starter
}

func newSite(t *testing.T, bucketURL string) *site {
	t.Helper()
	silent := slog.New(slog.DiscardHandler)
	c, err := client.Dial(client.Options{HostPort: temporaltest.Start(t), Logger: log.NewStructuredLogger(silent)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	db := pgtest.Open(t, 32)
	files, err := archive.Open(t.Context(), bucketURL, archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { files.Close() })
	source, err := memory.NewSource(db, "memories", memory.SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s := &site{T: t, db: db, client: c, exports: export.NewStore(db), archive: files, starter: workflows.NewStarter(c, "default", t.Name())}
	steps := &activities.Activities{Exports: s.exports, Source: source, Archive: files, Retention: time.Hour, Grace: time.Minute, Parallel: 2}
	options := worker.Options{
		Client: c, Namespace: "default", TaskQueue: t.Name(), Log: silent, Activities: steps,
		Reconciler: &reconcile.Activities{Steps: steps, Client: c, Starter: s.starter, Log: silent,
			Dispatcher: &dispatch.Dispatcher{Exports: s.exports, Starter: s.starter, Log: silent}},
		Concurrency: 16, CachedWorkflows: 500, StopTimeout: 20 * time.Second, ReconcileEvery: time.Hour, SweepEvery: time.Hour, // the tests do themselves what these would do
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		worker.Run(ctx, options)
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
	return s
}

// in returns the site for a subtest.
func (s *site) in(t *testing.T) *site {
	inner := *s
	inner.T = t
	return &inner
}

// must fails the test if a step that prepares it has failed.
func (s *site) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// eraser returns an Eraser that calls tell before it waits.
func (s *site) eraser(tell func(string)) *erasure.Eraser {
	return &erasure.Eraser{DB: s.db, Exports: s.exports, Keys: apikey.NewStore(s.db), Archive: s.archive, Audit: audit.NewStore(s.db),
		Client: s.client, Starter: s.starter, Tell: tell}
}

// create creates a PENDING export of a new workspace, whose workflow is not started yet.
func (s *site) create() export.Export {
	s.Helper()
	e, err := s.exports.Create(s.Context(), export.Export{WorkspaceID: uuid.NewString(), Format: "json"})
	s.must(err)
	return e
}

func (s *site) find(id string) export.Export {
	s.Helper()
	e, err := s.exports.Find(s.Context(), id)
	s.must(err)
	return e
}

// started creates an export, starts its workflow, and waits until the export has the status.
func (s *site) started(status export.Status) export.Export {
	s.Helper()
	e := s.create()
	s.must(s.starter.Start(s.Context(), e))
	await.True(s.T, patience, "the export is "+string(status), func() bool { return s.find(e.ID).Status == status })
	return s.find(e.ID)
}

// terminate terminates the workflow of an export, as an operator does in the Temporal UI.
func (s *site) terminate(e export.Export) {
	s.Helper()
	s.must(s.client.TerminateWorkflow(s.Context(), export.WorkflowID(e.ID), "", "a test"))
}

// settle makes an unfinished export FAILED and purges it, as the reconciler does after its workflow was terminated.
func (s *site) settle(e export.Export) {
	s.Helper()
	s.must(s.exports.Fail(s.Context(), e.ID, export.Failures[export.CodeTerminated]))
	s.must(s.archive.DeleteExport(s.Context(), e.ID))
	s.must(s.exports.Purged(s.Context(), e.ID))
}
