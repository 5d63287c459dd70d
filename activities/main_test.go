package activities_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"memexport/activities"
	"memexport/internal/service/archive"
	"memexport/internal/service/export"
	"memexport/internal/service/format"
	"memexport/internal/service/memory"
	"memexport/internal/service/postgres"
	"memexport/internal/workshop/demo"
	"memexport/internal/workshop/pgtest"
)

const (
	workspaceID = "0190a000-0000-4000-8000-00000000000f"
	// patience bounds every wait for something that takes milliseconds on an idle machine.
	patience = 30 * time.Second
)

func TestMain(m *testing.M) { pgtest.Main(m, pgtest.Migrate, demo.CreateTable) }

var silent = log.NewStructuredLogger(slog.New(slog.DiscardHandler))

// house is all that activities work with: a database and a bucket of its own for each test.
type house struct {
	*testing.T
	*activities.Activities
	db  *sqlx.DB
	dir string // of the bucket
}

func newHouse(t *testing.T) *house {
	t.Helper()
	db, err := postgres.Open(pgtest.New(t), 16)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	h := &house{T: t, db: db, dir: t.TempDir(), Activities: &activities.Activities{
		Exports: export.NewStore(db), Retention: 72 * time.Hour, Grace: time.Hour, Parallel: 4,
	}}
	h.readFrom("memories")
	h.open("file://"+h.dir, archive.Options{})
	return h
}

// open makes the activities use the bucket at a URL.
func (h *house) open(bucketURL string, options archive.Options) {
	h.Helper()
	files, err := archive.Open(h.Context(), bucketURL, options)
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { files.Close() })
	h.Archive = files
}

// in is the house within a subtest.
func (h *house) in(t *testing.T) *house {
	inner := *h
	inner.T = t
	return &inner
}

// readFrom makes the activities read a table or view.
func (h *house) readFrom(table string) {
	h.Helper()
	var err error
	if h.Source, err = memory.NewSource(h.db, table); err != nil {
		h.Fatal(err)
	}
}

func (h *house) exec(statement string, args ...any) {
	h.Helper()
	if _, err := h.db.Exec(statement, args...); err != nil {
		h.Fatal(err)
	}
}

// environment is where one attempt of an activity runs.
type environment func(*testsuite.TestActivityEnvironment)

// within makes the attempt end with ctx, as if its cancellation had been requested.
func within(ctx context.Context) environment {
	return func(env *testsuite.TestActivityEnvironment) {
		env.SetWorkerOptions(worker.Options{BackgroundActivityContext: ctx})
	}
}

// do runs an attempt of an activity; an input of nil stands for none.
func do[T any](h *house, activity, input any, options ...environment) (result T, err error) {
	suite := testsuite.WorkflowTestSuite{}
	suite.SetLogger(silent)
	env := suite.NewTestActivityEnvironment()
	env.RegisterActivity(h.Activities)
	for _, option := range options {
		option(env)
	}
	var inputs []any
	if input != nil {
		inputs = append(inputs, input)
	}
	value, err := env.ExecuteActivity(activity, inputs...)
	if err == nil && value.HasValue() {
		err = value.Get(&result)
	}
	return result, err
}

// must runs an activity that has to succeed.
func must[T any](h *house, activity, input any) T {
	h.Helper()
	result, err := do[T](h, activity, input)
	if err != nil {
		h.Fatal(err)
	}
	return result
}

func (h *house) ref(id string) activities.ExportRef { return activities.ExportRef{ExportID: id} }

// create makes a PENDING export of the workspace.
func (h *house) create(f *format.Format) string {
	h.Helper()
	e, err := h.Exports.Create(h.Context(), export.Export{WorkspaceID: workspaceID, Format: f.Name})
	if err != nil {
		h.Fatal(err)
	}
	return e.ID
}

// started is an export with its plan.
func (h *house) started(f *format.Format) (string, activities.PlanResult) {
	h.Helper()
	id := h.create(f)
	return id, must[activities.PlanResult](h, h.Plan, h.ref(id))
}

// oneRange is an export with the input that writes its only range.
func (h *house) oneRange(f *format.Format) activities.WriteRangeInput {
	h.Helper()
	id, plan := h.started(f)
	if len(plan.Ranges) != 1 {
		h.Fatalf("the plan has %d ranges", len(plan.Ranges))
	}
	return activities.WriteRangeInput{ExportID: id, Number: 0, Range: plan.Ranges[0].Range}
}

// written writes all ranges of an export and returns what Publish is to be told.
func (h *house) written(id string, plan activities.PlanResult) activities.PublishInput {
	h.Helper()
	in := activities.PublishInput{ExportID: id, Ranges: len(plan.Ranges)}
	for i, r := range plan.Ranges {
		in.Written.Add(must[activities.Written](h, h.WriteRange, activities.WriteRangeInput{ExportID: id, Number: i, Range: r.Range}))
		if i < len(plan.Ranges)-1 {
			in.Digest = must[archive.Digest](h, h.Verify, activities.VerifyInput{ExportID: id, Number: i, Digest: in.Digest})
		}
	}
	return in
}

// published is a READY export.
func (h *house) published(f *format.Format) string {
	h.Helper()
	id, plan := h.started(f)
	must[activities.PublishResult](h, h.Publish, h.written(id, plan))
	return id
}

func (h *house) find(id string) export.Export {
	h.Helper()
	e, err := h.Exports.Find(h.Context(), id)
	if err != nil {
		h.Fatal(err)
	}
	return e
}

func (h *house) wantStatus(id string, want export.Status) {
	h.Helper()
	if e := h.find(id); e.Status != want {
		h.Errorf("the export is %s, not %s", e.Status, want)
	}
}

// parts are the recorded parts of the whole export.
func (h *house) parts(id string) []export.Part {
	h.Helper()
	parts, err := h.Exports.Parts(h.Context(), id, -1)
	if err != nil {
		h.Fatal(err)
	}
	return parts
}

// file is what a download of the recorded parts would be.
func (h *house) file(id string, f *format.Format) string {
	h.Helper()
	parts := export.Stored(h.parts(id))
	content, err := io.ReadAll(h.Archive.File(h.Context(), f, parts))
	if err != nil {
		h.Fatal(err)
	}
	return string(content)
}

// wantError checks the type of an activity's error, and whether it is retried.
func wantError(t *testing.T, err error, kind string, retried bool) {
	t.Helper()
	var applicationErr *temporal.ApplicationError
	if !errors.As(err, &applicationErr) {
		t.Errorf("the error is %v, not a %s", err, kind)
		return
	}
	if applicationErr.Type() != kind || applicationErr.NonRetryable() == retried {
		t.Errorf("the error is %v (type %s, final %v), not a %s", err, applicationErr.Type(), applicationErr.NonRetryable(), kind)
	}
}

// eventually fails the test when the fact does not come true in time.
func eventually(t *testing.T, fact string, isTrue func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !isTrue(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("this did not become true: " + fact)
		}
	}
}
