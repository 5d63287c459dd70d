package export_test

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"pgregory.net/rapid"

	"memexport/internal/service/export"
	"memexport/internal/workshop/pgtest"
)

// openWithClock opens a database in which now() is a function that reads the table clock.time. So the test
// decides what time it is, to the microsecond.
func openWithClock(t *testing.T) *sqlx.DB {
	url := pgtest.New(t)
	pgtest.OpenURL(t, url, 1).MustExec(`CREATE SCHEMA clock;
		CREATE TABLE clock.time (at timestamptz); INSERT INTO clock.time VALUES (now());
		CREATE FUNCTION clock.now() RETURNS timestamptz STABLE LANGUAGE sql AS 'SELECT at FROM clock.time';
		ALTER TABLE memexport.exports ALTER created_at SET DEFAULT clock.now(), ALTER updated_at SET DEFAULT clock.now()`)
	return pgtest.OpenURL(t, url+"&search_path=clock,pg_catalog", 4)
}

func (m *machine) setClock(now time.Time) {
	m.db.MustExec(`UPDATE clock.time SET at = $1`, now)
	m.model.now = now
}

// agree fails the test if the Store's error is not the model's one.
func agree(t *rapid.T, call string, got, want error) {
	t.Helper()
	t.Logf("%s: %v", call, got)
	var limit, wanted *export.LimitError
	if errors.As(want, &wanted) {
		if !errors.As(got, &limit) || *limit != *wanted {
			t.Fatalf("%s: %v, want %v", call, got, want)
		}
	} else if !errors.Is(got, want) {
		t.Fatalf("%s: %v, want %v", call, got, want)
	}
}

// Check compares the rows of all exports with the model. It also calls checkJob for the export that the last
// action was about.
func (m *machine) Check(t *rapid.T) {
	for _, workspace := range workspaces {
		all, err := m.store.OfWorkspace(m.ctx, workspace, uuid.Nil.String(), 100)
		agree(t, "read all", err, nil)
		jobs := m.model.of(workspace, every)
		same(t, "the rows of a workspace", viewsOf(all), m.model.views(jobs, false))
		for i, j := range jobs {
			checkProgress(t, j, all[i])
		}
	}
	if j := m.last; j != nil {
		m.checkJob(t, j)
	}
}

// checkProgress fails if the progress of a job has fallen, or is 100 although the file is not complete.
func checkProgress(t *rapid.T, j *job, e export.Export) {
	most := 99
	if j.status == export.Ready || j.status == export.Expired {
		most = 100
		j.progress = max(j.progress, 100)
	}
	if e.Progress < j.progress || e.Progress > most {
		t.Fatalf("the progress of a %s export is %d after %d", e.Status, e.Progress, j.progress)
	}
	j.progress = e.Progress
}

// checkJob compares with the model what each workspace gets when it asks for the job, and the recorded parts.
func (m *machine) checkJob(t *rapid.T, j *job) {
	for _, workspace := range workspaces {
		got, err := m.store.Get(m.ctx, workspace, j.id)
		if j.visible() && j.workspace == workspace {
			agree(t, "get", err, nil)
			same(t, "the export that its workspace gets", viewOf(got), m.model.view(j))
		} else {
			agree(t, "get what is deleted or belongs to another workspace", err, export.ErrNotFound)
		}
	}
	parts, err := m.store.Parts(m.ctx, j.id)
	agree(t, "read the parts", err, nil)
	same(t, "the recorded parts", parts, append(slices.Clone(j.parts[0]), j.parts[1]...))
	if j.status == export.Ready && !j.removed {
		same(t, "the count of a READY export", j.file.Memories, export.Count(parts).Memories)
	}
}

// viewOf returns what a caller sees of an export.
func viewOf(e export.Export) view {
	v := view{id: e.ID, workspace: e.WorkspaceID, format: e.Format, seen: e.Status, recorded: e.StoredStatus,
		created: e.CreatedAt, updated: e.UpdatedAt, dispatched: value(e.DispatchedAt), started: value(e.StartedAt), completed: value(e.CompletedAt),
		expires: value(e.ExpiresAt), purged: value(e.PurgedAt), deleted: value(e.DeletedAt),
		memories: e.MemoryCount, size: value(e.SizeBytes), digest: value(e.SHA256), object: value(e.FileObject)}
	if e.Failure != nil {
		v.code = e.Failure.Code
	}
	return v
}

func viewsOf(exports []export.Export) (views []view) {
	for _, e := range exports {
		views = append(views, viewOf(e))
	}
	return views
}

// value returns what p points to, or the zero value if p is nil.
func value[V any](p *V) (v V) {
	if p != nil {
		v = *p
	}
	return v
}

func same(t *rapid.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}
