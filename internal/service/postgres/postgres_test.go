package postgres_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"memexport/internal/service/postgres"
	"memexport/internal/workshop/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("the error is %v; it lacks %q", err, part)
		}
	}
}

func TestMigratingTwiceDoesNothing(t *testing.T) {
	db := pgtest.Open(t, 1) // Migrate must need no more than one connection
	first, err := postgres.Migrate(t.Context(), db)
	if err != nil || first == 0 {
		t.Fatalf("applied %d: %v", first, err)
	}
	db.MustExec(`INSERT INTO memexport.exports (id, workspace_id, format, filter) VALUES (gen_random_uuid(), gen_random_uuid(), 'json', '{}')`)
	if again, err := postgres.Migrate(t.Context(), db); err != nil || again != 0 {
		t.Errorf("applied %d again: %v", again, err)
	}
	var rows int
	if err := db.Get(&rows, `SELECT count(*) FROM memexport.exports`); err != nil || rows != 1 {
		t.Errorf("%d rows remain: %v", rows, err)
	}
	var outside []string
	err = db.Select(&outside, `SELECT n.nspname || '.' || relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
		WHERE nspname NOT IN ('memexport', 'pg_catalog', 'information_schema', 'pg_toast')`)
	if err != nil || len(outside) != 0 {
		t.Errorf("it created %v outside the schema memexport, %v", outside, err)
	}
}

func TestSeveralProcessesMayMigrateAtTheSameTime(t *testing.T) {
	url := pgtest.New(t)
	applied := make([]int, 4)
	var group sync.WaitGroup
	for i := range applied {
		db := pgtest.OpenURL(t, url, 2)
		group.Go(func() {
			var err error
			if applied[i], err = postgres.Migrate(context.Background(), db); err != nil {
				t.Error(err)
			}
			if err := postgres.CheckMigrated(context.Background(), db); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	sum := 0
	for _, n := range applied {
		sum += n
	}
	var versions int
	err := pgtest.OpenURL(t, url, 1).Get(&versions, `SELECT count(*) FROM memexport.schema_version WHERE version_id > 0`)
	if err != nil || versions != sum || sum == 0 {
		t.Errorf("the processes applied %v, but %d are recorded: %v", applied, versions, err)
	}
}

func TestCheckMigratedNamesTheRemedy(t *testing.T) {
	db := pgtest.Open(t, 2)
	wantError := func(when string) {
		t.Helper()
		if err := postgres.CheckMigrated(t.Context(), db); err == nil || !strings.Contains(err.Error(), "memexport migrate") {
			t.Errorf("%s: %v", when, err)
		}
	}
	wantError("without the schema")
	db.MustExec(`CREATE SCHEMA memexport`)
	wantError("with an empty schema")
	if _, err := postgres.Migrate(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	if err := postgres.CheckMigrated(t.Context(), db); err != nil {
		t.Error("after the migration:", err)
	}
	db.MustExec(`INSERT INTO memexport.schema_version (version_id, is_applied) VALUES (999999, true)`)
	if err := postgres.CheckMigrated(t.Context(), db); err != nil {
		t.Error("a schema newer than the program:", err)
	}
	db.MustExec(`DELETE FROM memexport.schema_version WHERE version_id > 0`)
	wantError("when a version is missing")
}

func TestACancelledMigrationCanBeRepeated(t *testing.T) {
	db := pgtest.Open(t, 2)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := postgres.Migrate(ctx, db); err == nil {
		t.Error("no error")
	}
	if _, err := postgres.Migrate(t.Context(), db); err != nil {
		t.Error(err)
	}
}

// openForLastMigration returns a database that lacks only the last migration, which changes the table export_ranges,
// and a transaction that has locked this table as pg_dump does.
func openForLastMigration(t *testing.T) (*sqlx.DB, *sqlx.Tx) {
	t.Helper()
	url := pgtest.New(t)
	db := pgtest.OpenURL(t, url, 8)
	if _, err := postgres.Migrate(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	db.MustExec(`ALTER TABLE memexport.export_ranges DROP position; DELETE FROM memexport.schema_version WHERE version_id = 13`)
	dump := pgtest.OpenURL(t, url+"&application_name=pg_dump", 1).MustBegin()
	t.Cleanup(func() { dump.Rollback() }) //nolint:errcheck // does nothing if the test has ended it
	dump.MustExec(`LOCK TABLE memexport.export_ranges IN ACCESS SHARE MODE`)
	return db, dump
}

func TestTheServiceGoesOnWhileAMigrationWaitsForABackup(t *testing.T) {
	t.Parallel()
	db, dump := openForLastMigration(t)
	const processes = 2
	told, applied := make(chan string, 100), make(chan int, processes)
	for range processes {
		go func() {
			n, err := postgres.MigrateWith(t.Context(), db, postgres.MigrateOptions{Tell: func(line string) { told <- line }})
			if err != nil {
				t.Error(err)
			}
			applied <- n
		}()
	}
	line := ""
	for end := time.Now().Add(7 * time.Second); time.Now().Before(end); { // several attempts
		ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second) // a request waits for 10 seconds
		if err := db.GetContext(ctx, new(int), `SELECT count(*) FROM memexport.export_ranges`); err != nil {
			t.Fatalf("a read beside the migration: %v", err)
		}
		cancel()
		select {
		case line = <-told:
		case <-time.After(10 * time.Millisecond):
		}
	}
	var pid string
	if err := dump.Get(&pid, `SELECT pg_backend_pid()`); err != nil {
		t.Fatal(err)
	}
	wantError(t, errors.New(line), "00013_range_position.sql", "memexport.export_ranges", "process "+pid+" (pg_dump, user ")
	if err := dump.Rollback(); err != nil {
		t.Fatal(err)
	}
	if n := <-applied + <-applied; n != 1 {
		t.Errorf("%d migrations applied", n)
	}
	if err := postgres.CheckMigrated(t.Context(), db); err != nil {
		t.Error(err)
	}
	for range db.Stats().OpenConnections {
		c, err := db.Connx(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		var limit string
		if err := c.GetContext(t.Context(), &limit, `SHOW lock_timeout`); err != nil || limit != "0" {
			t.Errorf("afterwards, lock_timeout of a connection is %q: %v", limit, err)
		}
	}
}

func TestAMigrationThatGetsNoLockSaysWhatToDo(t *testing.T) {
	t.Parallel()
	db, _ := openForLastMigration(t)
	n, err := postgres.MigrateWith(t.Context(), db, postgres.MigrateOptions{Patience: 1})
	if n != 0 {
		t.Errorf("%d migrations applied", n)
	}
	wantError(t, err, "00013_range_position.sql", "memexport.export_ranges is locked by process", "(pg_dump, user ", "pg_terminate_backend", "run `memexport migrate` again")
	if err := db.Get(new(int), `SELECT count(*) FROM memexport.export_ranges`); err != nil {
		t.Error(err)
	}
}

// A migration that gets no lock in time is repeated, so it must not leave half of its changes. A failed CREATE INDEX
// CONCURRENTLY, which is not possible in a transaction, leaves an invalid index.
func TestEveryMigrationIsATransaction(t *testing.T) {
	files, err := filepath.Glob("migrations/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d migrations: %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "NO TRANSACTION") {
			t.Errorf("%s is not a transaction, so MigrateWith must not repeat it", file)
		}
	}
}

func TestResultsLargerThanTheReadBufferArriveWhole(t *testing.T) {
	db := pgtest.Open(t, 2)
	for _, size := range []int{1, 4095, 4096, 4097, 64<<10 - 1, 64 << 10, 64<<10 + 1, 1 << 20, 10_000_000} {
		var text string
		if err := db.Get(&text, `SELECT repeat('0123456789', $1 / 10 + 1)`, size); err != nil {
			t.Fatal(err)
		}
		if want := strings.Repeat("0123456789", size/10+1); text != want {
			t.Errorf("%d bytes arrive as %d other bytes", len(want), len(text))
		}
	}
	rows, err := db.Query(`SELECT i, repeat(chr(65 + i % 26), i % 3000) FROM generate_series(1, 20000) i`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		var i int
		var text string
		if err := rows.Scan(&i, &text); err != nil {
			t.Fatal(err)
		}
		if n++; i != n || text != strings.Repeat(string(rune(65+i%26)), i%3000) {
			t.Fatalf("row %d is %d, %.20q", n, i, text)
		}
	}
	if err := rows.Err(); err != nil || n != 20000 {
		t.Errorf("%d rows: %v", n, err)
	}
}

func TestACancelledQueryEndsAndThePoolStaysUsable(t *testing.T) {
	db := pgtest.Open(t, 2)
	for range 5 {
		ctx, cancel := context.WithCancel(t.Context())
		rows, err := db.QueryContext(ctx, `SELECT repeat('x', 10000) FROM generate_series(1, 1000) a, generate_series(1, 10000) b`) // a hundred gigabytes
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			if !rows.Next() {
				t.Fatal(rows.Err())
			}
		}
		cancel()
		for rows.Next() {
		}
		if rows.Err() == nil {
			t.Error("the rows end without an error")
		}
		rows.Close()
		var one int
		if err := db.Get(&one, `SELECT 1`); err != nil || one != 1 {
			t.Errorf("the next query: %d, %v", one, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { _, err := db.ExecContext(ctx, `SELECT pg_sleep(3600)`); done <- err }()
	cancel()
	if err := <-done; err == nil {
		t.Error("the query was not cancelled")
	} else if !errors.Is(err, context.Canceled) && !strings.Contains(err.Error(), "cancel") {
		t.Error(err)
	}
}

func TestOpenDoesNotConnect(t *testing.T) {
	db := pgtest.OpenURL(t, "postgres://nobody@127.0.0.1:1/nothing?connect_timeout=5", 3)
	if stats := db.Stats(); stats.OpenConnections != 0 || stats.MaxOpenConnections != 3 {
		t.Errorf("%d connections of %d", stats.OpenConnections, stats.MaxOpenConnections)
	}
	if err := db.Ping(); err == nil {
		t.Error("Ping succeeds without a server")
	}
	if _, err := postgres.Open("postgres://%zz", 1); err == nil {
		t.Error("an invalid URL is accepted")
	}
}

func TestPreparedStatementsAreKeptAndSurviveChangesOfTheTable(t *testing.T) {
	t.Parallel()
	db, err := postgres.OpenWith(pgtest.New(t), postgres.Options{MaxConns: 1, Prepare: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.MustExec(`CREATE TABLE things (id int PRIMARY KEY, name text)`)
	const insert, find = `INSERT INTO things (id, name) VALUES ($1, $2)`, `WITH found AS (SELECT * FROM things WHERE id = $1) SELECT name FROM found`
	for i, name := range []string{"a", "b", "c", "d", "e", "f", "g"} { // Postgres may choose another plan from the sixth execution on
		if i == 3 {
			db.MustExec(`ALTER TABLE things ADD COLUMN more int`)
		}
		tx := db.MustBegin()
		tx.MustExec(insert, i, name)
		if _, err := tx.Exec(insert, i, name); err == nil {
			t.Error("a row was inserted twice")
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		db.MustExec(insert, i, name)
		var got string
		if err := db.Get(&got, find, i); err != nil || got != name {
			t.Errorf("row %d is %q: %v", i, got, err)
		}
	}
	if err := db.Get(new(string), find, 100); !errors.Is(err, sql.ErrNoRows) {
		t.Errorf("an unknown row: %v", err)
	}
	if _, err := db.Exec(`INSERT INTO missing VALUES ($1)`, 1); err == nil {
		t.Error("a wrong statement succeeded")
	}
	var kept int
	if err := db.Get(&kept, `SELECT count(*) FROM pg_prepared_statements`); err != nil || kept != 2 {
		t.Errorf("%d statements are kept: %v", kept, err)
	}
}

func TestAConnectionKeepsALimitedNumberOfStatements(t *testing.T) {
	t.Parallel()
	db, err := postgres.OpenWith(pgtest.New(t), postgres.Options{MaxConns: 1, Prepare: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for i := range 300 {
		var got int
		if err := db.Get(&got, fmt.Sprintf(`SELECT $1::int + %d`, i), 1); err != nil || got != i+1 {
			t.Fatalf("statement %d returned %d: %v", i, got, err)
		}
	}
	var kept int
	if err := db.Get(&kept, `SELECT count(*) FROM pg_prepared_statements`); err != nil || kept != 200 {
		t.Errorf("%d statements are kept: %v", kept, err)
	}
}
