package activities_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
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
	// patience limits every wait for something that takes milliseconds on an idle machine.
	patience = 30 * time.Second
)

func TestMain(m *testing.M) { pgtest.Main(m, pgtest.Migrate, demo.CreateTable) }

// harness runs activities on a database and a bucket that are used by only one test.
type harness struct {
	*testing.T
	*activities.Activities
	url string // of the database
	db  *sqlx.DB
	dir string // the directory of the bucket

	warned *bytes.Buffer // the warnings and errors that the activities have logged
	logger log.Logger    // writes to warned
}

func newHarness(t *testing.T) *harness {
	t.Helper()
	url := pgtest.New(t)
	db := pgtest.OpenURL(t, url, 16)
	h := &harness{T: t, url: url, db: db, dir: t.TempDir(), warned: &bytes.Buffer{}, Activities: &activities.Activities{
		Exports: export.NewStore(db), Retention: 72 * time.Hour, Grace: time.Hour, Parallel: 4,
	}}
	h.logger = log.NewStructuredLogger(slog.New(slog.NewTextHandler(h.warned, &slog.HandlerOptions{Level: slog.LevelWarn})))
	h.readFrom("memories")
	h.open("file://"+h.dir, archive.Options{})
	return h
}

// open makes the activities use the bucket at this URL.
func (h *harness) open(bucketURL string, options archive.Options) {
	h.Helper()
	files, err := archive.Open(h.Context(), bucketURL, options)
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { files.Close() })
	h.Archive = files
}

// openS3 makes the activities use the bucket of an S3 store that answers as the handler does.
func (h *harness) openS3(store http.Handler, options archive.Options) {
	h.Helper()
	h.Setenv("AWS_ACCESS_KEY_ID", "id")
	h.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	server := httptest.NewServer(store)
	h.Cleanup(server.Close)
	h.open("s3://bucket?region=us-east-1&use_path_style=true&request_checksum_calculation=when_required&endpoint="+server.URL, options)
}

// in returns the harness for a subtest, which uses the same database and bucket.
func (h *harness) in(t *testing.T) *harness {
	inner := *h
	inner.T = t
	return &inner
}

// readFrom makes the activities read memories from this table or view.
func (h *harness) readFrom(table string) {
	h.Helper()
	h.readOver(h.db, table)
}

// readOver makes the activities read memories from this table over these connections.
func (h *harness) readOver(db *sqlx.DB, table string) {
	h.Helper()
	var err error
	if h.Source, err = memory.NewSource(db, table, memory.SourceOptions{}); err != nil {
		h.Fatal(err)
	}
}

// connect makes the activities use the database at this URL with these options.
func (h *harness) connect(url string, options postgres.Options) {
	h.Helper()
	db, err := postgres.OpenWith(url, options)
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { db.Close() })
	h.Exports = export.NewStore(db)
	h.readOver(db, "memories")
}

func (h *harness) exec(statement string, args ...any) {
	h.Helper()
	if _, err := h.db.Exec(statement, args...); err != nil {
		h.Fatal(err)
	}
}

// environment changes the environment in which an attempt runs.
type environment func(*testsuite.TestActivityEnvironment)

// within cancels the attempt when ctx ends, in the same way as Temporal cancels an activity on request.
func within(ctx context.Context) environment {
	return func(env *testsuite.TestActivityEnvironment) {
		env.SetWorkerOptions(worker.Options{BackgroundActivityContext: ctx})
	}
}

// do runs one attempt of an activity.
func do[T any](h *harness, activity, input any, options ...environment) (result T, err error) {
	suite := testsuite.WorkflowTestSuite{}
	suite.SetLogger(h.logger)
	env := suite.NewTestActivityEnvironment()
	env.RegisterActivity(h.Activities)
	for _, option := range options {
		option(env)
	}
	value, err := env.ExecuteActivity(activity, input)
	if err == nil && value.HasValue() {
		err = value.Get(&result)
	}
	return result, err
}

// must runs an attempt of an activity, and fails the test if the attempt fails.
func must[T any](h *harness, activity, input any) T {
	h.Helper()
	result, err := do[T](h, activity, input)
	if err != nil {
		h.Fatal(err)
	}
	return result
}

func (h *harness) ref(id string) activities.ExportRef { return activities.ExportRef{ExportID: id} }

// create creates a PENDING export of the workspace and returns its id.
func (h *harness) create(f *format.Format) string {
	h.Helper()
	e, err := h.Exports.Create(h.Context(), export.Export{WorkspaceID: workspaceID, Format: f.Name})
	if err != nil {
		h.Fatal(err)
	}
	return e.ID
}

// started creates a PROCESSING export and returns its id and plan.
func (h *harness) started(f *format.Format) (string, activities.PlanResult) {
	h.Helper()
	id := h.create(f)
	return id, must[activities.PlanResult](h, h.Plan, activities.PlanInput{ExportID: id})
}

// oneRange creates a PROCESSING export with one range, and returns the input of WriteRange for that range.
func (h *harness) oneRange(f *format.Format) activities.WriteRangeInput {
	h.Helper()
	id, plan := h.started(f)
	if len(plan.Ranges) != 1 {
		h.Fatalf("the plan has %d ranges", len(plan.Ranges))
	}
	return activities.WriteRangeInput{ExportID: id, Number: 0, Range: plan.Ranges[0].Range}
}

// written writes all ranges of an export, verifies all but the last, and returns the input of Publish.
func (h *harness) written(id string, plan activities.PlanResult) activities.PublishInput {
	h.Helper()
	in := activities.PublishInput{ExportID: id, Ranges: len(plan.Ranges)}
	for i, r := range plan.Ranges {
		written := must[export.Written](h, h.WriteRange, activities.WriteRangeInput{ExportID: id, Number: i, Range: r.Range})
		in.Written = in.Written.Plus(written)
		if i < len(plan.Ranges)-1 {
			in.Digest = must[archive.Digest](h, h.Verify, activities.VerifyInput{ExportID: id, Number: i, Digest: in.Digest})
		}
	}
	return in
}

// published creates a READY export and returns its id.
func (h *harness) published(f *format.Format) string {
	h.Helper()
	id, plan := h.started(f)
	must[activities.PublishResult](h, h.Publish, h.written(id, plan))
	return id
}

func (h *harness) find(id string) export.Export {
	h.Helper()
	e, err := h.Exports.Find(h.Context(), id)
	if err != nil {
		h.Fatal(err)
	}
	return e
}

func (h *harness) wantStatus(id string, want export.Status) {
	h.Helper()
	if e := h.find(id); e.Status != want {
		h.Errorf("the export is %s, want %s", e.Status, want)
	}
}

// parts returns the recorded parts of an export.
func (h *harness) parts(id string) []export.Part {
	h.Helper()
	parts, err := h.Exports.Parts(h.Context(), id)
	if err != nil {
		h.Fatal(err)
	}
	return parts
}

// file returns the content of a download of the recorded parts.
func (h *harness) file(id string, f *format.Format) string {
	h.Helper()
	parts := export.Stored(h.parts(id))
	content, err := io.ReadAll(h.Archive.File(h.Context(), f, parts))
	if err != nil {
		h.Fatal(err)
	}
	return string(content)
}

// wantFinal checks the type of an activity's error, and that Temporal does not retry the activity.
func wantFinal(t *testing.T, err error, errorType string) {
	t.Helper()
	wantApplicationError(t, err, errorType, true)
}

// wantRetryable checks the type of an activity's error, and that Temporal retries the activity.
func wantRetryable(t *testing.T, err error, errorType string) {
	t.Helper()
	wantApplicationError(t, err, errorType, false)
}

func wantApplicationError(t *testing.T, err error, errorType string, final bool) {
	t.Helper()
	var applicationErr *temporal.ApplicationError
	if !errors.As(err, &applicationErr) {
		t.Errorf("the error is %v, want a %s", err, errorType)
		return
	}
	if applicationErr.Type() != errorType || applicationErr.NonRetryable() != final {
		t.Errorf("the error is %v (type %s, final: %v), want the type %s (final: %v)",
			err, applicationErr.Type(), applicationErr.NonRetryable(), errorType, final)
	}
}
