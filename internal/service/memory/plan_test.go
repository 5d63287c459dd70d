package memory

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"memexport/internal/workshop/pgtest"
)

// plan calls Plan and returns the ranges and the number of matching memories in each. It checks the
// properties of every plan: the ranges ascend and do not overlap, each begins and ends with the key
// of a memory, and together they contain every memory of the workspace that lies in the filter's time
// window. The matches of a small range are counted exactly.
func plan(t *testing.T, s *Source, db *sqlx.DB, q Query) ([]PlannedRange, []int64) {
	t.Helper()
	ranges, err := s.Plan(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	if len(ranges) > MaxRanges {
		t.Fatalf("%d ranges", len(ranges))
	}
	window := Query{WorkspaceID: q.WorkspaceID, Filter: Filter{CreatedAfter: q.Filter.CreatedAfter, CreatedBefore: q.Filter.CreatedBefore}}
	var matched []int64
	var held int64
	for i, r := range ranges {
		if r.First.Compare(r.Last) > 0 || i > 0 && ranges[i-1].Last.Compare(r.First) >= 0 {
			t.Fatalf("range %d (%v) does not follow %v", i, r, ranges[max(0, i-1)])
		}
		if r.Estimate < 0 {
			t.Errorf("range %d is estimated at %d", i, r.Estimate)
		}
		for _, k := range []Key{r.First, r.Last} {
			if count(t, db, s, window, rangeOf(k, k)) != 1 {
				t.Fatalf("range %d: no memory has the key %v", i, k)
			}
		}
		memories := count(t, db, s, window, r.Range)
		held += memories
		matched = append(matched, count(t, db, s, q, r.Range))
		if memories < sampleRows && r.Estimate != matched[i] {
			t.Errorf("range %d has %d matches, estimated at %d", i, matched[i], r.Estimate)
		}
	}
	if all := count(t, db, s, window, everything); held != all {
		t.Fatalf("the ranges hold %d of %d memories", held, all)
	}
	return ranges, matched
}

func count(t *testing.T, db *sqlx.DB, s *Source, q Query, r Range) (n int64) {
	t.Helper()
	w := q.where()
	w.and("(created_at, id) >= (?::timestamptz, ?::uuid)", r.First.CreatedAt.literal(), r.First.ID)
	w.and("(created_at, id) <= (?::timestamptz, ?::uuid)", r.Last.CreatedAt.literal(), r.Last.ID)
	if err := db.Get(&n, `SELECT count(*) FROM `+s.table+` WHERE `+w.sql(), w.args...); err != nil {
		t.Fatal(err)
	}
	return n
}

// shapes are distributions of keys. Each is the select list of an INSERT in which i runs from 1 to
// 20,000.
var shapes = map[string]string{
	"uniform times":           `'m', gen_random_uuid(), '2026-01-01'::timestamptz + i * interval '17 seconds'`,
	"bulk-loaded":             `'m', gen_random_uuid(), '2026-01-01'::timestamptz + (i / 1000) * interval '1 day'`,
	"one instant, random ids": `'m', gen_random_uuid(), '2026-01-01'::timestamptz`,
	"one instant, ascending ids": `'m', ('019b76da-a800-7' || lpad(to_hex(i % 4096), 3, '0') || '-8000-' || lpad(to_hex(i), 12, '0'))::uuid,
		'2026-01-01'::timestamptz`,
	"two distant clusters": `'m', gen_random_uuid(), CASE WHEN i % 2 = 0 THEN '1990-01-01'::timestamptz ELSE '2090-01-01' END + i * interval '1 ms'`,
	"infinities": `'m', gen_random_uuid(), CASE i % 10 WHEN 0 THEN 'infinity' WHEN 1 THEN '-infinity' ELSE
		'2026-01-01'::timestamptz + i * interval '1 second' END`,
	"extremes": `'m', gen_random_uuid(), CASE i WHEN 1 THEN '4714-11-24 00:00:00+00 BC'::timestamptz WHEN 2 THEN '294276-12-31 23:59:59.999999+00'
		WHEN 3 THEN 'infinity' WHEN 4 THEN '-infinity' ELSE '2026-01-01'::timestamptz + i * interval '1 second' END`,
	"the future": `'m', gen_random_uuid(), now() + i * interval '1 hour'`,
}

const addShape = `INSERT INTO memories (memory, id, created_at) SELECT `

func TestPlansAreBalancedWhateverTheShape(t *testing.T) {
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, db := open(t)
			exec(t, db, addShape+shape+` FROM generate_series(1, 20000) i`)
			exec(t, db, `INSERT INTO memories (memory, workspace_id, created_at) SELECT 'm', $1, '1980-01-01'::timestamptz + i * interval '9 days' FROM generate_series(1, 5000) i`, stranger)
			exec(t, db, `VACUUM ANALYZE memories`)
			s = s.with(t, SourceOptions{RangeRows: 1250}) // a perfect plan has 16 ranges
			ranges, matched := plan(t, s, db, Query{WorkspaceID: tenant})
			if len(ranges) < 12 {
				t.Errorf("only %d ranges", len(ranges))
			}
			if largest := slices.Max(matched); largest > 3*s.rangeRows {
				t.Errorf("the largest range has %d of 20000 memories: %v", largest, matched)
			}
		})
	}
}

// Postgres keeps statistics of each column separately. If another workspace has many memories at some instant,
// Postgres also expects many memories of this workspace at that instant.
func TestBulkImportsOfAnotherWorkspaceDoNotMakeTinyRanges(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	exec(t, db, addShape+shapes["uniform times"]+` FROM generate_series(1, 20000) i`) // their times span almost four days
	exec(t, db, `INSERT INTO memories (memory, workspace_id, created_at) SELECT 'm', $1, '2026-01-01'::timestamptz + i % 6 * interval '15 hours' FROM generate_series(1, 60000) i`, stranger)
	exec(t, db, `VACUUM ANALYZE memories`)
	s = s.with(t, SourceOptions{RangeRows: 1250})
	ranges, matched := plan(t, s, db, Query{WorkspaceID: tenant})
	if len(ranges) > 32 || slices.Max(matched) > 3*s.rangeRows {
		t.Errorf("the ranges hold %v", matched)
	}
}

// Another workspace may have most of its memories at the times of this workspace's first or last memories. Then the
// sample from that end suggests far too few memories for the whole range.
func TestTheDensityAtOneEndDoesNotFoolThePlan(t *testing.T) {
	t.Parallel()
	for name, others := range map[string]string{
		"others at the beginning": `'2026-01-01'::timestamptz + i * interval '0.1 seconds'`,
		"others at the end":       `'2026-01-04 22:00'::timestamptz + i * interval '0.1 seconds'`,
	} {
		s, db := open(t)
		exec(t, db, addShape+shapes["uniform times"]+` FROM generate_series(1, 20000) i`) // their times span almost four days
		exec(t, db, `INSERT INTO memories (memory, workspace_id, created_at) SELECT 'm', $1, `+others+` FROM generate_series(1, 30000) i`, stranger)
		exec(t, db, `VACUUM ANALYZE memories`)
		s = s.with(t, SourceOptions{RangeRows: 2500}) // a perfect plan has 8 ranges
		ranges, matched := plan(t, s, db, Query{WorkspaceID: tenant})
		if len(ranges) < 5 || slices.Max(matched) > 3*s.rangeRows {
			t.Errorf("%s: the ranges hold %v", name, matched)
		}
	}
}

// The memories of a workspace may all have times at which no other workspace has memories, or the filter may
// select such times. Postgres then expects far too few memories.
func TestCorrelatedTimesDoNotFoolThePlan(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ memories, rangeRows, least, most int64 }{
		{1200, 0, 1, 1},
		{40_000, 2500, 12, 30},
	} {
		for _, others := range []string{tenant, stranger} {
			s, db := open(t)
			exec(t, db, `INSERT INTO memories (memory, created_at) SELECT 'm', '2026-03-01'::timestamptz + i * interval '20 minutes' / $1 FROM generate_series(1, $1) i`, c.memories)
			exec(t, db, `INSERT INTO memories (memory, workspace_id, created_at) SELECT 'm', $1::uuid, '2025-01-01'::timestamptz + i * interval '4 minutes' FROM generate_series(1, 147000) i`, others)
			exec(t, db, `VACUUM ANALYZE memories`)
			after, before := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 3, 1, 0, 30, 0, 0, time.UTC)
			ranges, _ := plan(t, s.with(t, SourceOptions{RangeRows: c.rangeRows}), db, Query{WorkspaceID: tenant, Filter: Filter{CreatedAfter: &after, CreatedBefore: &before}})
			var sum int64
			for _, r := range ranges {
				sum += r.Estimate
			}
			if n := int64(len(ranges)); n < c.least || n > c.most || sum < c.memories/2 || sum > 2*c.memories {
				t.Errorf("%d memories beside those of %s: %d ranges, estimated at %d", c.memories, others, n, sum)
			}
		}
	}
}

func TestAPlanEstimatesMatchingMemories(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	exec(t, db, `INSERT INTO memories (memory, user_id, created_at) SELECT 'm', CASE WHEN i % 10 > 0 THEN 'heavy' ELSE 'user ' || i END,
		'2026-01-01'::timestamptz + i * interval '1 minute' FROM generate_series(1, 40000) i; ANALYZE memories`)
	s = s.with(t, SourceOptions{RangeRows: 2500})
	heavy, light := "heavy", "user 10"
	ranges, matched := plan(t, s, db, Query{WorkspaceID: tenant, Filter: Filter{UserID: &heavy}})
	if largest := slices.Max(matched); len(ranges) < 12 || largest > 3*s.rangeRows {
		t.Errorf("the ranges of the user who has 90%% hold %v", matched)
	}
	if ranges, _ = plan(t, s, db, Query{WorkspaceID: tenant, Filter: Filter{UserID: &light}}); len(ranges) != 1 {
		t.Errorf("%d ranges for the user who has one memory", len(ranges))
	}
	after, before := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), time.Date(2026, 1, 3, 0, 0, 0, 0, time.UTC)
	ranges, matched = plan(t, s, db, Query{WorkspaceID: tenant, Filter: Filter{CreatedAfter: &after, CreatedBefore: &before}})
	if len(ranges) != 1 || matched[0] != 24*60 {
		t.Errorf("the ranges of one day hold %v", matched)
	}
}

func TestPlanningNeverScansTheTable(t *testing.T) {
	url := pgtest.New(t)
	one := sourceWith(t, pgtest.OpenURL(t, url, 1), "memories", SourceOptions{RangeRows: 100}) // leads to MaxRanges ranges
	exec(t, one.db, addShape+shapes["uniform times"]+` FROM generate_series(1, 40000) i`)
	exec(t, one.db, `ANALYZE memories`)
	type counters struct {
		Scans int64 `db:"seq_scan"`
		Read  int64 `db:"idx_tup_read"`
	}
	look := func() (c counters) {
		// The statement must run on the connection that planned, because each backend reports its own
		// counters.
		exec(t, one.db, `SELECT pg_stat_force_next_flush()`)
		err := one.db.Get(&c, `SELECT t.seq_scan, i.idx_tup_read FROM pg_stat_user_tables t JOIN pg_stat_user_indexes i USING (relid) WHERE t.relname = 'memories'`)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	before := look()
	user, high := "nobody", High
	for _, f := range []Filter{{}, {UserID: &user}, {Priority: &high}, {Categories: []string{"c"}}} {
		if ranges, err := one.Plan(t.Context(), Query{WorkspaceID: tenant, Filter: f}); err != nil || len(ranges) == 0 {
			t.Fatal(ranges, err)
		}
	}
	after := look()
	if after.Scans != before.Scans || after.Read-before.Read > 4*2*MaxRanges*(sampleRows+4) {
		t.Errorf("planning did %d sequential scans and read %d entries of the index", after.Scans-before.Scans, after.Read-before.Read)
	}
	if after.Read == before.Read {
		t.Error("the counters did not change, so this tests nothing")
	}
}

func TestASmallWorkspaceIsOneRangeAndAnEmptyOneNone(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	if ranges, _ := plan(t, s, db, Query{WorkspaceID: tenant}); len(ranges) != 0 {
		t.Errorf("no memory: %v", ranges)
	}
	exec(t, db, `INSERT INTO memories (memory, workspace_id) SELECT 'm', $1 FROM generate_series(1, 100)`, stranger)
	if ranges, _ := plan(t, s, db, Query{WorkspaceID: tenant}); len(ranges) != 0 {
		t.Errorf("only another workspace's memories: %v", ranges)
	}
	addTied(t, db, 1)
	one, _ := plan(t, s, db, Query{WorkspaceID: tenant})
	if len(one) != 1 || one[0].First != one[0].Last {
		t.Errorf("one memory: %v", one)
	}
	addTied(t, db, 30)
	if ranges, _ := plan(t, s.with(t, SourceOptions{RangeRows: 1}), db, Query{WorkspaceID: tenant}); len(ranges) != 31 {
		t.Errorf("few memories, and each large enough for a range: %v", ranges)
	}
	if ranges, _ := plan(t, s, db, Query{WorkspaceID: tenant}); len(ranges) != 1 {
		t.Errorf("few memories: %v", ranges)
	}
	future := time.Now().Add(24 * time.Hour)
	if ranges, _ := plan(t, s, db, Query{WorkspaceID: tenant, Filter: Filter{CreatedAfter: &future}}); len(ranges) != 0 {
		t.Errorf("an empty window: %v", ranges)
	}
}

func TestAPlanWithoutStatisticsIsRight(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	exec(t, db, `ALTER TABLE memories SET (autovacuum_enabled = false)`)
	exec(t, db, addShape+shapes["infinities"]+` FROM generate_series(1, 20000) i`)
	for _, rows := range []int64{1, 10, 1000, 250_000} {
		plan(t, s.with(t, SourceOptions{RangeRows: rows}), db, Query{WorkspaceID: tenant})
	}
	want := stored(t, db, "memories", mine)
	s = s.with(t, SourceOptions{RangeRows: 1})
	ranges, _ := plan(t, s, db, Query{WorkspaceID: tenant})
	var got []string
	for _, r := range ranges {
		got = append(got, read(t, s, Query{WorkspaceID: tenant}, r.Range, nil)...)
	}
	same(t, got, want)
}

func TestMemoriesInsertedAfterThePlanAreNotRead(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	exec(t, db, addShape+shapes["the future"]+` FROM generate_series(1, 500) i; ANALYZE memories`)
	s = s.with(t, SourceOptions{RangeRows: 50})
	want := stored(t, db, "memories", mine)
	ranges, _ := plan(t, s, db, Query{WorkspaceID: tenant})
	if len(ranges) < 5 {
		t.Fatalf("%d ranges", len(ranges))
	}
	exec(t, db, `INSERT INTO memories (memory, created_at) SELECT 'late', (SELECT max(created_at) FROM memories) + i * interval '1 microsecond' FROM generate_series(1, 50) i;
		INSERT INTO memories (memory, created_at) VALUES ('later', 'infinity')`)
	var got []string
	for _, r := range ranges {
		got = append(got, read(t, s, Query{WorkspaceID: tenant}, r.Range, nil)...)
	}
	same(t, got, want)
}

func TestLargeMemoriesMakeSmallerRanges(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		values      string // the text and the metadata
		least, most int
	}{
		"small":              {`'m', '{}'`, 1, 1},
		"without a text":     {`NULL, NULL`, 1, 1},
		"long texts":         {`repeat('compressible ', 1000), NULL`, 4, 8}, // 5 MB, so a perfect plan has 5 ranges
		"much metadata":      {`'m', jsonb_build_object('k', (SELECT string_agg(md5(i::text || j), '') FROM generate_series(1, 400) j))`, 4, 8},
		"larger than ranges": {`repeat('compressible ', 100000), NULL`, 48, MaxRanges},
	} {
		t.Run(name, func(t *testing.T) {
			s, db := open(t)
			exec(t, db, `ALTER TABLE memories ALTER memory DROP NOT NULL`)
			exec(t, db, `INSERT INTO memories (created_at, memory, metadata) SELECT '2026-01-01'::timestamptz + i * interval '1 second', `+c.values+` FROM generate_series(1, 400) i`)
			ranges, _ := plan(t, s.with(t, SourceOptions{RangeBytes: 1 << 20}), db, Query{WorkspaceID: tenant})
			if len(ranges) < c.least || len(ranges) > c.most {
				t.Errorf("%d ranges, want %d to %d", len(ranges), c.least, c.most)
			}
		})
	}
}

func TestALargeWorkspaceIsDividedByDefault(t *testing.T) {
	s, db := open(t)
	exec(t, db, `DROP INDEX memories_workspace_id_created_at_id_idx`)
	exec(t, db, addShape+`'m', gen_random_uuid(), '2026-01-01'::timestamptz + i * interval '1 second' FROM generate_series(1, 550000) i`)
	exec(t, db, `CREATE INDEX ON memories (workspace_id, created_at, id); ANALYZE memories`)
	ranges, matched := plan(t, s, db, Query{WorkspaceID: tenant})
	if len(ranges) < 4 || len(ranges) > 8 || slices.Max(matched) > 2*defaultRangeRows {
		t.Errorf("550000 memories are divided into %v", matched)
	}
	// A plan must survive JSON, because Temporal and the database store it as JSON.
	text, err := json.Marshal(ranges)
	if err != nil {
		t.Fatal(err)
	}
	var back []PlannedRange
	if err := json.Unmarshal(text, &back); err != nil || !slices.Equal(back, ranges) {
		t.Errorf("%s becomes %v: %v", text, back, err)
	}
}
