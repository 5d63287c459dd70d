//go:build poolers

package memory

import (
	"context"
	"database/sql/driver"
	"errors"
	"testing"
	"time"

	"github.com/lib/pq"

	"memexport/internal/workshop/await"
	"memexport/internal/workshop/pgtest"
)

// A hot standby cancels a query whose snapshot still needs rows that VACUUM has removed on the primary. The
// reader then continues after the last memory that it has seen. It neither misses nor repeats a memory.
func TestAQueryThatAStandbyCancelsIsContinued(t *testing.T) {
	through := pgtest.Standby(t)
	url := pgtest.New(t)
	primary := pgtest.OpenURL(t, url, 2)
	exec(t, primary, `INSERT INTO memories (memory, created_at) SELECT repeat('x', 1000), '2026-01-01'::timestamptz + i * interval '1 second' FROM generate_series(1, 30000) i`)
	exec(t, primary, `INSERT INTO memories (memory, workspace_id) SELECT 'm', $1 FROM generate_series(1, 1000)`, stranger)
	want := keys(t, primary, tenant)
	standby := pgtest.OpenURL(t, through(url), 4)
	await.True(t, time.Minute, "the standby has all memories", func() bool {
		var n int
		err := standby.Get(&n, `SELECT count(*) FROM memories`)
		return err == nil && n == 31000
	})
	s := source(t, standby, "memories")
	var got []Key
	visit := func(m *Memory) error {
		got = append(got, Key{CreatedAt: m.CreatedAt, ID: string(m.ID)})
		if len(got) > 1 {
			return nil
		}
		exec(t, primary, `DELETE FROM memories WHERE workspace_id = $1`, stranger)
		exec(t, primary, `VACUUM memories`)
		var end string
		if err := primary.Get(&end, `SELECT pg_current_wal_flush_lsn()`); err != nil {
			t.Fatal(err)
		}
		await.True(t, time.Minute, "the standby has received what VACUUM did", func() bool {
			var received bool
			err := standby.Get(&received, `SELECT pg_last_wal_receive_lsn() >= $1::pg_lsn`, end)
			return err == nil && received
		})
		time.Sleep(time.Second) // the standby replays VACUUM within milliseconds, but does not show when replay waits for this query
		return nil
	}
	err := s.Read(t.Context(), Query{WorkspaceID: tenant}, everything, nil, visit)
	// Rarely the standby also ends the connection, right after the query. Then lib/pq returns ErrBadConn.
	var conflict *pq.Error
	cancelled := errors.As(err, &conflict) && conflict.Code == "40001" || errors.Is(err, driver.ErrBadConn)
	if !cancelled || len(got) == len(want) {
		t.Fatalf("after %d memories: %v", len(got), err)
	}
	last := got[len(got)-1]
	if err := s.Read(t.Context(), Query{WorkspaceID: tenant}, everything, &last, visit); err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("%d memories were read, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("memory %d is %v, want %v", i, got[i], want[i])
		}
	}
}

func TestAStandbySoonEndsTheStatementOfACallThatHasEnded(t *testing.T) {
	through := pgtest.Standby(t)
	url := through(pgtest.New(t))
	watch := pgtest.OpenURL(t, url, 1)
	await.True(t, time.Minute, "the standby has the database", func() bool { return watch.Ping() == nil })
	db := pgtest.OpenURL(t, url, 1)
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if err := db.GetContext(ctx, new(string), `SELECT pg_sleep(600)`); err == nil {
			t.Error("the statement succeeded")
		}
		cancel()
	}
	await.True(t, 30*time.Second, "no statement runs whose call has ended", func() bool {
		var running int
		err := watch.Get(&running, `SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND state = 'active' AND pid <> pg_backend_pid()`)
		return err == nil && running == 0
	})
}

// The connections of a source may lead to several standbys, and one of them may lag behind.
func TestAStandbyThatIsBehindThePlanIsAwaited(t *testing.T) {
	through := pgtest.Standby(t)
	url := pgtest.New(t)
	primary, standby := pgtest.OpenURL(t, url, 2), pgtest.OpenURL(t, through(url), 2)
	await.True(t, time.Minute, "the standby has the database", func() bool { return standby.Ping() == nil })
	exec(t, standby, `SELECT pg_wal_replay_pause()`)
	addTied(t, primary, 100)
	ranges, _ := plan(t, source(t, primary, "memories"), primary, Query{WorkspaceID: tenant})
	s := source(t, standby, "memories")
	var visited int
	visit := func(*Memory) error { visited++; return nil }
	if err := s.Read(t.Context(), Query{WorkspaceID: tenant}, ranges[0].Range, nil, visit); !errors.Is(err, errBehind) || visited != 0 {
		t.Errorf("%d memories and %v, want none and %v", visited, err, errBehind)
	}
	if err := s.Read(t.Context(), Query{WorkspaceID: tenant}, everything, nil, visit); err != nil || visited != 0 {
		t.Errorf("%d memories and %v: the standby is not behind, so this tests nothing", visited, err)
	}
	time.AfterFunc(300*time.Millisecond, func() { standby.MustExec(`SELECT pg_wal_replay_resume()`) })
	if err := s.Read(t.Context(), Query{WorkspaceID: tenant}, ranges[0].Range, nil, visit); err != nil || visited != 100 {
		t.Errorf("%d memories and %v, want 100", visited, err)
	}
}
