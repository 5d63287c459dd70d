package memory

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"memexport/internal/workshop/await"
	"memexport/internal/workshop/pgtest"
)

func TestAPauseReleasesTheConnectionAndSkipsNothing(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	db := pgtest.OpenURL(t, url, 2)
	addTied(t, db, 23)
	exec(t, db, `UPDATE memories SET memory = repeat('x', 2000000) WHERE memory = 'memory 7'`) // oversize
	want := stored(t, db, "memories", mine)
	s := source(t, db, "memories").with(t, SourceOptions{PageRows: 10})
	for every := 1; every <= 11; every++ {
		var got []string
		pauses := 0
		err := s.Read(t.Context(), Query{WorkspaceID: tenant}, everything, nil, func(m *Memory) error {
			text, err := whole(m)
			if err != nil {
				return err
			}
			got = append(got, line(m, text))
			if len(got)%every > 0 {
				return nil
			}
			return &Pause{Wait: func() error {
				pauses++
				if n := db.Stats().InUse; n != 0 {
					t.Errorf("%d connections are in use during a pause", n)
				}
				return nil
			}}
		})
		if err != nil || pauses != 23/every {
			t.Errorf("%d pauses: %v", pauses, err)
		}
		same(t, got, want)
	}
	stop := errors.New("stop")
	err := s.Read(t.Context(), Query{WorkspaceID: tenant}, everything, nil, func(*Memory) error {
		return &Pause{Wait: func() error { return stop }}
	})
	if !errors.Is(err, stop) {
		t.Errorf("Read returned %v", err)
	}
}

// While visit does not return, Postgres sends ahead as much as the buffers of the connection hold. That may be several
// MiB, so the memories of this test have 45 MB.
func TestPostgresReadsFewMemoriesInVainIfVisitEndsItsPage(t *testing.T) {
	t.Parallel()
	const memories, tenth = 30_000, 3_000
	stop := errors.New("stop")
	for name, c := range map[string]struct {
		end         error
		visited     int
		most        int // memories that Postgres may read
		connections int
	}{
		"it pauses ten times": {&Pause{Wait: func() error { return nil }}, memories, memories * 3 / 2, 2},
		"it stops":            {stop, tenth, memories / 2, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := pgtest.New(t)
			db, watch := pgtest.OpenURL(t, url, 1), pgtest.OpenURL(t, url, 1)
			exec(t, watch, `INSERT INTO memories (memory, created_at)
				SELECT repeat('x', 1500), '2026-01-01'::timestamptz + i * interval '1 second' FROM generate_series(1, $1) i`, memories)
			others := func(condition string) (n int) {
				err := watch.Get(&n, `SELECT count(*) FROM pg_stat_activity
					WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid() AND `+condition)
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
			visited := 0
			err := source(t, db, "memories").Read(t.Context(), Query{WorkspaceID: tenant}, everything, nil, func(*Memory) error {
				if visited++; visited%tenth > 0 {
					return nil
				}
				await.True(t, time.Minute, "Postgres has sent all it can", func() bool {
					return others("state = 'active' AND wait_event IS DISTINCT FROM 'ClientWrite'") == 0
				})
				return c.end
			})
			if err != nil && !errors.Is(err, stop) || visited != c.visited {
				t.Errorf("%d memories were visited: %v", visited, err)
			}
			db.Close() // a backend reports what it has read when it ends, at the latest
			await.True(t, time.Minute, "the connections have ended", func() bool { return others("true") == 0 })
			exec(t, watch, `SELECT pg_stat_force_next_flush()`)
			var read, connections int
			if err := watch.QueryRow(`SELECT t.idx_tup_fetch, d.sessions - 1 FROM pg_stat_user_tables t, pg_stat_database d
				WHERE t.relname = 'memories' AND d.datname = current_database()`).Scan(&read, &connections); err != nil {
				t.Fatal(err)
			}
			if read < visited || read > c.most || connections != c.connections {
				t.Errorf("Postgres read %d memories over %d connections to pass on %d", read, connections, visited)
			}
		})
	}
}

func TestPagesGrowAgainAfterAPause(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	addTied(t, db, 50)
	p := pages{source: s.with(t, SourceOptions{PageRows: 16}), query: Query{WorkspaceID: tenant}, bounds: everything, limit: 16}
	visited := 0
	visit := func(*Memory) error {
		if visited++; visited == 4 {
			return &Pause{}
		}
		return nil
	}
	var limits []int
	for range 4 {
		if err := p.read(t.Context(), visit); (err != nil) != (visited == 4) {
			t.Fatal(err)
		}
		limits = append(limits, p.limit)
	}
	if want := []int{5, 10, 16, 16}; !slices.Equal(limits, want) || visited != 4+5+10+16 {
		t.Errorf("%d memories were visited, and the limits of the pages became %d, want %d", visited, limits, want)
	}
}

// Oversize memories are read over a second connection. A pooler may have none left, because other readers hold
// them for their pages.
func TestOneConnectionIsEnoughForOversizeMemories(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	db := pgtest.OpenURL(t, url, 1)
	addTied(t, db, 23)
	exec(t, db, `UPDATE memories SET memory = repeat(memory || ' ', 200000) WHERE memory IN ('memory 1', 'memory 7', 'memory 8', 'memory 23')`)
	want := stored(t, db, "memories", mine)
	s := source(t, db, "memories").with(t, SourceOptions{PageRows: 10})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var got []string
	err := s.Read(ctx, Query{WorkspaceID: tenant}, everything, nil, func(m *Memory) error {
		text, err := whole(m)
		got = append(got, line(m, text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, want)
}
