package memory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"memexport/internal/workshop/pgtest"
)

// addTied adds n memories of the tenant and n of another workspace. Groups of five have the same
// created_at.
func addTied(tb testing.TB, db *sqlx.DB, n int) {
	tb.Helper()
	exec(tb, db, `INSERT INTO memories (memory, workspace_id, created_at)
		SELECT 'memory ' || i, w::uuid, '2026-01-01'::timestamptz + (i / 5) * interval '1 microsecond'
		FROM generate_series(1, $1) i, unnest($2::text[]) w`, n, pq.Array([]string{tenant, stranger}))
}

// keys returns the keys of a workspace in the order in which Postgres sorts them.
func keys(tb testing.TB, db *sqlx.DB, workspaceID string) []Key {
	tb.Helper()
	rows, err := db.Query(`SELECT ((extract(epoch FROM created_at) - 946684800) * 1000000)::bigint, id::text FROM memories
		WHERE workspace_id = $1 ORDER BY created_at, id`, workspaceID)
	if err != nil {
		tb.Fatal(err)
	}
	defer rows.Close()
	var all []Key
	for rows.Next() {
		var k Key
		if err := rows.Scan(&k.CreatedAt, &k.ID); err != nil {
			tb.Fatal(err)
		}
		all = append(all, k)
	}
	if err := rows.Err(); err != nil {
		tb.Fatal(err)
	}
	return all
}

const mine = "workspace_id = '" + tenant + "'"

func TestEveryMemoryIsReadOnceAndInOrderForEveryPageSize(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	addTied(t, db, 23)
	want := stored(t, db, "memories", mine)
	for rows := 1; rows <= 25; rows++ {
		t.Run(fmt.Sprint(rows, " rows"), func(t *testing.T) {
			s := s.with(t, SourceOptions{PageRows: rows})
			same(t, read(t, s, Query{WorkspaceID: tenant}, everything, nil), want)
		})
	}
	s = s.with(t, SourceOptions{PageRows: 23})
	exec(t, db, `DELETE FROM memories WHERE `+mine)
	same(t, read(t, s, Query{WorkspaceID: tenant}, everything, nil), nil)
}

// All memories of an export may have the same created_at. A range must be read only up to its last key.
// If a read went on to the last memory with that created_at, every range would read the index to its
// end.
func TestARangeWithinOneInstantIsReadOnlyToItsEnd(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	exec(t, db, `INSERT INTO memories (memory, created_at) SELECT 'm', '2026-01-01' FROM generate_series(1, 20000)`)
	exec(t, db, `VACUUM ANALYZE memories`)
	all := keys(t, db, tenant)
	q, first, last := Query{WorkspaceID: tenant}, all[9_000], all[9_049]
	tx, err := s.begin(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	p := pages{source: s, query: q, bounds: rangeOf(first, last), limit: s.pageRows}
	statement, args := p.statement()
	var explained string
	if err := tx.Get(&explained, `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) `+statement, args...); err != nil {
		t.Fatal(err)
	}
	var plans []struct {
		Plan struct {
			Rows int64 `json:"Actual Rows"`
			Hit  int64 `json:"Shared Hit Blocks"`
			Read int64 `json:"Shared Read Blocks"`
		}
	}
	if err := json.Unmarshal([]byte(explained), &plans); err != nil {
		t.Fatal(err)
	}
	// The query may read one block of the table per memory, and a few blocks of the index, which has
	// more than 100 blocks.
	if p := plans[0].Plan; p.Rows != 50 || p.Hit+p.Read > 50+10 {
		t.Errorf("%d memories were read from %d blocks:\n%s", p.Rows, p.Hit+p.Read, explained)
	}
}

func TestTheDefaultPageSizeOmitsAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	exec(t, db, `INSERT INTO memories (memory, created_at) SELECT 'm', '2026-01-01'::timestamptz + (i / 7) * interval '1 second' FROM generate_series(1, $1) i`, 2*s.pageRows+1)
	want := keys(t, db, tenant)
	i := 0
	err := s.Read(t.Context(), Query{WorkspaceID: tenant}, everything, nil, func(m *Memory) error {
		if got := (Key{m.CreatedAt, string(m.ID)}); i >= len(want) || got != want[i] {
			return fmt.Errorf("memory %d is %v", i, got)
		}
		i++
		return nil
	})
	if err != nil || i != len(want) {
		t.Fatalf("read %d of %d memories: %v", i, len(want), err)
	}
}

func TestReadingResumesAfterAnyKey(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	addTied(t, db, 17)
	all, want := keys(t, db, tenant), stored(t, db, "memories", mine)
	for rows := 1; rows < 20; rows += 5 {
		s := s.with(t, SourceOptions{PageRows: rows})
		for i, k := range all {
			same(t, read(t, s, Query{WorkspaceID: tenant}, everything, &k), want[i+1:])
			same(t, read(t, s, Query{WorkspaceID: tenant}, rangeOf(all[0], all[len(all)-1]), &k), want[i+1:])
			gap := Key{CreatedAt: k.CreatedAt, ID: k.ID[:35] + "0"} // equals k, or precedes k and belongs to no memory
			if gap.ID != k.ID {
				same(t, read(t, s, Query{WorkspaceID: tenant}, everything, &gap), want[i:])
			}
		}
	}
}

func TestAKeyOutsideTheRangeDoesNotWidenIt(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	addTied(t, db, 12)
	all, want := keys(t, db, tenant), stored(t, db, "memories", mine)
	r := rangeOf(all[4], all[7])
	for _, before := range all[:4] {
		same(t, read(t, s, Query{WorkspaceID: tenant}, r, &before), want[4:8])
	}
	for _, beyond := range all[7:] {
		same(t, read(t, s, Query{WorkspaceID: tenant}, r, &beyond), nil)
	}
	same(t, read(t, s, Query{WorkspaceID: tenant}, rangeOf(all[7], all[4]), nil), nil)
}

func TestConsecutiveRangesOmitAndRepeatNothing(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	addTied(t, db, 40)
	all, want := keys(t, db, tenant), stored(t, db, "memories", mine)
	random := rand.New(rand.NewPCG(1, 2))
	for range 40 {
		s := s.with(t, SourceOptions{PageRows: 1 + random.IntN(9)})
		var got []string
		for from := 0; from < len(all); {
			to := from + 1 + random.IntN(len(all)-from)
			got = append(got, read(t, s, Query{WorkspaceID: tenant}, rangeOf(all[from], all[to-1]), nil)...)
			from = to
		}
		same(t, got, want)
	}
}

func TestKeysCompareAsPostgresOrdersThem(t *testing.T) {
	t.Parallel()
	_, db := open(t)
	addTied(t, db, 60)
	all := keys(t, db, tenant)
	for i := range all {
		for j := range all {
			if got, want := all[i].Compare(all[j]), min(1, max(-1, i-j)); got != want {
				t.Fatalf("Compare(%v, %v) = %d, want %d", all[i], all[j], got, want)
			}
		}
	}
}

func TestAnErrorOfVisitStopsReading(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	addTied(t, db, 20)
	s = s.with(t, SourceOptions{PageRows: 8})
	enough := errors.New("enough")
	for stop := range 20 {
		visited := 0
		err := s.Read(t.Context(), Query{WorkspaceID: tenant}, everything, nil, func(*Memory) error {
			if visited++; visited > stop {
				return enough
			}
			return nil
		})
		if !errors.Is(err, enough) || visited != stop+1 {
			t.Fatalf("after %d memories: visited %d, %v", stop, visited, err)
		}
	}
	if used := s.db.Stats().InUse; used != 0 {
		t.Errorf("%d connections are still in use", used)
	}
}

func TestACancelledReadingEndsAndLeavesThePoolUsable(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	addTied(t, db, 5000)
	want := stored(t, db, "memories", mine)
	for range 5 {
		ctx, cancel := context.WithCancel(t.Context())
		visited := 0
		err := s.Read(ctx, Query{WorkspaceID: tenant}, everything, nil, func(*Memory) error {
			if visited++; visited == 10 {
				cancel()
			}
			return nil
		})
		if err == nil && visited < len(want) {
			t.Fatalf("a cancelled reading reported success after %d of %d memories", visited, len(want))
		}
		same(t, read(t, s, Query{WorkspaceID: tenant}, everything, nil), want)
		cancel()
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Read(ctx, Query{WorkspaceID: tenant}, everything, nil, func(*Memory) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
}

func TestAConnectionThatBreaksMidwayIsAnError(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	exec(t, db, `INSERT INTO memories (memory) SELECT repeat('x', 100000) FROM generate_series(1, 200)`)
	visited := 0
	err := s.Read(t.Context(), Query{WorkspaceID: tenant}, everything, nil, func(*Memory) error {
		if visited++; visited == 1 {
			exec(t, db, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
		}
		return nil
	})
	if err == nil {
		t.Fatalf("no error after %d of 200 memories", visited)
	}
}

func TestReadingCannotWrite(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	addTied(t, db, 1)
	exec(t, db, `CREATE FUNCTION touch(uuid) RETURNS text LANGUAGE sql VOLATILE AS
			'UPDATE memories SET access_count = access_count + 1 WHERE id = $1 RETURNING memory';
		CREATE VIEW touching AS SELECT id, touch(id) AS memory, user_id, agent_id, session_id, priority, status, categories,
			metadata, workspace_id, access_count, last_accessed_at, created_at, updated_at FROM memories`)
	err := source(t, s.db, "touching").Read(t.Context(), Query{WorkspaceID: tenant}, everything, nil, func(*Memory) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "read-only transaction") {
		t.Errorf("reading a view that writes: %v", err)
	}
}

func TestAConnectionWithBinaryParametersReadsTheSame(t *testing.T) {
	url := pgtest.New(t)
	db := pgtest.OpenURL(t, url, 1)
	addTied(t, db, 3)
	separator := "?"
	if strings.Contains(url, "?") {
		separator = "&"
	}
	s := source(t, pgtest.OpenURL(t, url+separator+"binary_parameters=yes", 2), "memories")
	same(t, read(t, s, Query{WorkspaceID: tenant}, everything, nil), stored(t, db, "memories", mine))
	if ranges, err := s.Plan(t.Context(), Query{WorkspaceID: tenant}); err != nil || len(ranges) != 1 {
		t.Errorf("Plan: %v, %v", ranges, err)
	}
}

// Otherwise exports whose reads wait for a lock would occupy every place of a worker.
func TestAReadWaitsForALockForATime(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	tx := db.MustBegin()
	defer tx.Rollback() //nolint:errcheck // the test needs no result
	tx.MustExec(`LOCK TABLE memories`)
	err := s.Read(t.Context(), Query{WorkspaceID: tenant}, everything, nil, func(*Memory) error { return nil })
	var answer *pq.Error
	if !errors.As(err, &answer) || answer.Code.Name() != "lock_not_available" {
		t.Errorf("the error is %v", err)
	}
}
