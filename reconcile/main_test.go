package reconcile_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"

	"memexport/activities"
	"memexport/dispatch"
	"memexport/internal/service/archive"
	"memexport/internal/service/export"
	"memexport/internal/service/format"
	"memexport/internal/service/memory"
	"memexport/internal/workshop/demo"
	"memexport/internal/workshop/pgtest"
	"memexport/reconcile"
	"memexport/workflows"
)

const (
	workspaceID = "0190a000-0000-4000-8000-00000000000f"
	// patience limits every wait for something that takes milliseconds on an idle machine.
	patience = 30 * time.Second
)

func TestMain(m *testing.M) { pgtest.Main(m, pgtest.Migrate, demo.CreateTable) }

var silent = log.NewStructuredLogger(slog.New(slog.DiscardHandler))

// fixture contains a database and a bucket for one test, and the objects that use them. Its methods put
// exports into a state by calling the store directly, without workflows or activities.
type fixture struct {
	*testing.T
	db         *sqlx.DB
	dir        string // the directory of the bucket
	exports    *export.Store
	archive    *archive.Archive
	client     client.Client // nil unless the test has a Temporal server
	starter    *workflows.Starter
	activities *reconcile.Activities
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	db := pgtest.Open(t, 16)
	source, err := memory.NewSource(db, "memories", memory.SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{T: t, db: db, dir: t.TempDir(), exports: export.NewStore(db)}
	f.activities = &reconcile.Activities{Steps: &activities.Activities{
		Exports: f.exports, Source: source, Retention: 72 * time.Hour, Grace: time.Hour, Parallel: 4,
	}, Log: slog.New(slog.DiscardHandler)}
	f.activities.Dispatcher = &dispatch.Dispatcher{Exports: f.exports, Log: slog.New(slog.DiscardHandler)}
	f.useBucket("file://" + f.dir)
	return f
}

// useBucket makes the activities use the bucket at this URL.
func (f *fixture) useBucket(url string) {
	f.Helper()
	opened, err := archive.Open(f.Context(), url, archive.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { opened.Close() })
	f.archive, f.activities.Steps.Archive = opened, opened
}

// connect makes the activities use a Temporal server, with a task queue that no other test uses.
func (f *fixture) connect(c client.Client) {
	f.client, f.starter = c, workflows.NewStarter(c, "default", f.Name())
	f.activities.Client, f.activities.Starter = f.client, f.starter
	f.activities.Dispatcher.Starter = f.starter
}

func (f *fixture) exec(statement string, args ...any) {
	f.Helper()
	if _, err := f.db.Exec(statement, args...); err != nil {
		f.Fatal(err)
	}
}

// run runs an activity and returns its result.
func run[T any](f *fixture, activity any) T {
	f.Helper()
	result, err := try[T](f, activity)
	if err != nil {
		f.Fatal(err)
	}
	return result
}

// try runs an activity and returns its result and error.
func try[T any](f *fixture, activity any) (result T, err error) {
	suite := testsuite.WorkflowTestSuite{}
	suite.SetLogger(silent)
	env := suite.NewTestActivityEnvironment()
	env.RegisterActivity(f.activities)
	value, err := env.ExecuteActivity(activity)
	if err == nil {
		err = value.Get(&result)
	}
	return result, err
}

func (f *fixture) reconcile() reconcile.Reconciled {
	f.Helper()
	return run[reconcile.Reconciled](f, f.activities.Reconcile)
}

func (f *fixture) sweep() int {
	f.Helper()
	return run[int](f, f.activities.Sweep)
}

// pending creates a PENDING export of the workspace and returns its id.
func (f *fixture) pending() string {
	f.Helper()
	e, err := f.exports.Create(f.Context(), export.Export{WorkspaceID: workspaceID, Format: format.CSV.Name})
	if err != nil {
		f.Fatal(err)
	}
	return e.ID
}

// processing creates a PROCESSING export with a plan of one range and returns its id.
func (f *fixture) processing() string {
	f.Helper()
	id := f.pending()
	plan := []memory.PlannedRange{{Range: memory.Range{
		First: memory.Key{CreatedAt: 0, ID: uuid.Nil.String()}, Last: memory.Key{CreatedAt: 9, ID: uuid.Max.String()},
	}, Estimate: 2}}
	if _, err := f.exports.Start(f.Context(), id, plan); err != nil {
		f.Fatal(err)
	}
	return id
}

// written creates a PROCESSING export whose two parts are stored and recorded, and returns its id.
func (f *fixture) written() string {
	f.Helper()
	id := f.processing()
	var previous string
	for number, row := range []string{"first\r\n", "second\r\n"} {
		stored, err := f.archive.Put(f.Context(), id, 0, number, []byte(row))
		if err != nil {
			f.Fatal(err)
		}
		part := export.Part{Part: stored, Number: number, Memories: 1, Last: memory.Key{CreatedAt: memory.Time(number), ID: uuid.NewString()}}
		if err := f.exports.Record(f.Context(), id, previous, []export.Part{part}); err != nil {
			f.Fatal(err)
		}
		previous = part.Object
	}
	return id
}

// published creates a READY export and returns its id.
func (f *fixture) published() string {
	f.Helper()
	id := f.written()
	f.publish(id)
	return id
}

// publish makes an export READY that written has created.
func (f *fixture) publish(id string) {
	f.Helper()
	content := f.file(id)
	sum := sha256.Sum256(content)
	file := export.File{Parts: 2, Memories: 2, Size: int64(len(content)), SHA256: sum[:]}
	if _, err := f.exports.Publish(f.Context(), id, file, 72*time.Hour); err != nil {
		f.Fatal(err)
	}
}

// publishAndExpire makes an export EXPIRED that written has created.
func (f *fixture) publishAndExpire(id string) {
	f.Helper()
	f.publish(id)
	if err := f.exports.Expire(f.Context(), id); err != nil {
		f.Fatal(err)
	}
}

// purged creates an EXPIRED export whose objects are deleted, and returns its id.
func (f *fixture) purged() string {
	f.Helper()
	id := f.published()
	if err := f.exports.Expire(f.Context(), id); err != nil {
		f.Fatal(err)
	}
	if err := f.archive.DeleteExport(f.Context(), id); err != nil {
		f.Fatal(err)
	}
	if err := f.exports.Purged(f.Context(), id); err != nil {
		f.Fatal(err)
	}
	return id
}

func (f *fixture) find(id string) export.Export {
	f.Helper()
	e, err := f.exports.Find(f.Context(), id)
	if err != nil {
		f.Fatal(err)
	}
	return e
}

func (f *fixture) parts(id string) []export.Part {
	f.Helper()
	parts, err := f.exports.Parts(f.Context(), id)
	if err != nil {
		f.Fatal(err)
	}
	return parts
}

// file returns the content of a download of the export.
func (f *fixture) file(id string) []byte {
	f.Helper()
	content, err := io.ReadAll(f.archive.File(f.Context(), format.CSV, export.Stored(f.parts(id))))
	if err != nil {
		f.Fatal(err)
	}
	return content
}

// wantWhole checks that the file of a READY export is still as it was published.
func (f *fixture) wantWhole(id string) {
	f.Helper()
	e, content := f.find(id), f.file(id)
	sum := sha256.Sum256(content)
	if hex.EncodeToString(sum[:]) != *e.SHA256 || !bytes.HasSuffix(content, []byte("first\r\nsecond\r\n")) {
		f.Errorf("the file is %q", content)
	}
	f.wantStatus(id, export.Ready)
}

func (f *fixture) wantStatus(id string, want export.Status) {
	f.Helper()
	if e := f.find(id); e.Status != want {
		f.Errorf("the export is %s, want %s", e.Status, want)
	}
}

// objects counts the objects of an export in the bucket.
func (f *fixture) objects(id string) int {
	f.Helper()
	entries, err := os.ReadDir(filepath.Join(f.dir, "exports", id))
	if err != nil && !os.IsNotExist(err) {
		f.Fatal(err)
	}
	return len(entries)
}

// failing is a Temporal client that cannot start workflows.
type failing struct{ client.Client }

func (failing) ExecuteWorkflow(context.Context, client.StartWorkflowOptions, any, ...any) (client.WorkflowRun, error) {
	return nil, fmt.Errorf("start: %w", context.DeadlineExceeded)
}
