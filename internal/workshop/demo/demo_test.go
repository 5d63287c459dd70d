package demo_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/jmoiron/sqlx"

	"memexport/internal/service/memory"
	"memexport/internal/workshop/demo"
	"memexport/internal/workshop/pgtest"
)

const other = "de300000-0000-4000-8000-000000000002"

func TestMain(m *testing.M) { pgtest.Main(m) }

// open returns a pool with a single connection, so that every statement sees the session state that
// earlier ones left on the connection.
func open(t *testing.T) *sqlx.DB {
	t.Helper()
	return pgtest.Open(t, 1)
}

func create(t *testing.T, db *sqlx.DB) {
	t.Helper()
	if err := demo.CreateTable(t.Context(), db); err != nil {
		t.Fatal(err)
	}
}

func fill(t *testing.T, db *sqlx.DB, workspaceID string, n, added int) {
	t.Helper()
	if got, err := demo.Fill(t.Context(), db, workspaceID, n); err != nil || got != added {
		t.Fatalf("Fill to %d added %d, want %d: %v", n, got, added, err)
	}
}

func rows(t *testing.T, db *sqlx.DB, workspaceID string) (all []string) {
	t.Helper()
	if err := db.Select(&all, `SELECT m::text FROM memories m WHERE workspace_id = $1 ORDER BY created_at, id`, workspaceID); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestFillGivesTheSameMemoriesInOneStepAsInMany(t *testing.T) {
	once, steps := open(t), open(t)
	create(t, once)
	create(t, steps)
	fill(t, once, demo.WorkspaceID, 120, 120)
	fill(t, steps, other, 30, 30)
	for _, step := range [][2]int{{10, 10}, {11, 1}, {11, 0}, {5, 0}, {0, 0}, {120, 109}} {
		fill(t, steps, demo.WorkspaceID, step[0], step[1])
	}
	if got, want := rows(t, steps, demo.WorkspaceID), rows(t, once, demo.WorkspaceID); !slices.Equal(got, want) || len(want) != 120 {
		t.Errorf("%d and %d rows differ", len(got), len(want))
	}
	if got := len(rows(t, steps, other)); got != 30 {
		t.Errorf("the other workspace has %d memories", got)
	}
}

func TestTheTableCanBeExported(t *testing.T) {
	db := open(t)
	create(t, db)
	create(t, db) // the table exists already
	fill(t, db, demo.WorkspaceID, 500, 500)
	s, err := memory.NewSource(db, "memories", memory.SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if ranges, err := s.Plan(t.Context(), memory.Query{WorkspaceID: demo.WorkspaceID}); err != nil || len(ranges) != 1 || ranges[0].Estimate < 400 || ranges[0].Estimate > 600 {
		t.Errorf("the plan is %v: %v", ranges, err)
	}
	var variety int
	err = db.Get(&variety, `SELECT (count(DISTINCT priority) = 3)::int + (count(DISTINCT status) = 4)::int + bool_or(user_id IS NULL)::int + bool_or(metadata IS NULL)::int +
		bool_or(memory = '')::int + bool_or(categories = '{}')::int + bool_or(memory LIKE '=%')::int + (count(*) > count(DISTINCT created_at))::int FROM memories`)
	if err != nil || variety != 8 {
		t.Errorf("%d of 8 kinds of memories are there: %v", variety, err)
	}
}

func TestAForeignTableIsNeverTouched(t *testing.T) {
	for name, ddl := range map[string]string{
		"of other columns":  `CREATE TABLE memories (id int); INSERT INTO memories VALUES (1)`,
		"with a comment":    `CREATE TABLE memories (id int); COMMENT ON TABLE memories IS 'ours'`,
		"a view":            `CREATE VIEW memories AS SELECT 1 AS id`,
		"of the same shape": ``,
	} {
		t.Run(name, func(t *testing.T) {
			db := open(t)
			if ddl == "" {
				create(t, db)
				ddl = `COMMENT ON TABLE memories IS NULL`
			}
			db.MustExec(ddl)
			if err := demo.CreateTable(t.Context(), db); !errors.Is(err, demo.ErrForeignTable) {
				t.Errorf("CreateTable: %v", err)
			}
			var before, after int
			if err := db.Get(&before, `SELECT count(*) FROM memories`); err != nil {
				t.Fatal(err)
			}
			if added, err := demo.Fill(t.Context(), db, demo.WorkspaceID, 10); !errors.Is(err, demo.ErrForeignTable) || added != 0 {
				t.Errorf("Fill added %d: %v", added, err)
			}
			if err := db.Get(&after, `SELECT count(*) FROM memories`); err != nil || after != before {
				t.Errorf("%d rows, then %d: %v", before, after, err)
			}
		})
	}
}

func TestATableInAnotherSchemaIsNotUsed(t *testing.T) {
	db := open(t)
	db.MustExec(`CREATE SCHEMA service; CREATE TABLE service.memories (id int); SET search_path = service, public`)
	create(t, db)
	fill(t, db, demo.WorkspaceID, 10, 10)
	var theirs, ours int
	if err := db.QueryRow(`SELECT (SELECT count(*) FROM service.memories), (SELECT count(*) FROM public.memories)`).Scan(&theirs, &ours); err != nil || theirs != 0 || ours != 10 {
		t.Errorf("%d in theirs, %d in ours: %v", theirs, ours, err)
	}
}

func TestAFailedCreateTableLeavesNothingBehind(t *testing.T) {
	db := open(t)
	// This table has the name of an index, so CreateTable cannot create that index.
	db.MustExec(`CREATE TABLE memories_by_user (id int)`)
	if err := demo.CreateTable(t.Context(), db); err == nil {
		t.Fatal("no error")
	}
	var exists bool
	if err := db.Get(&exists, `SELECT to_regclass('memories') IS NOT NULL`); err != nil || exists {
		t.Errorf("half a table is there: %v, %v", exists, err)
	}
}

func TestTwoProcessesMayStartAtOnce(t *testing.T) {
	url := pgtest.New(t)
	var group sync.WaitGroup
	for range 4 {
		db := pgtest.OpenURL(t, url, 1)
		group.Go(func() {
			_ = demo.CreateTable(context.Background(), db) // it may fail when another call creates the table at the same time
			if err := demo.CreateTable(context.Background(), db); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}
