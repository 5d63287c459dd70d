package memory

import (
	"context"
	"encoding/json"
	"fmt"
)

// sampleRows is how many memories a sample reads. Reading so many entries of an index takes less than half a
// millisecond. A range with fewer memories is counted exactly.
const sampleRows = 1000

// A sample refutes Postgres's estimate if two numbers differ by more than the factor refuted: the number of matches
// in the sample, and Postgres's estimate of that number. The greater of them must also be at least leastEvidence.
// Smaller differences are ignored, because the density of memories varies.
const (
	refuted       = 3
	leastEvidence = 30
)

// estimate returns how many memories of a span the query matches, exactly or approximately.
//
// Postgres keeps statistics of each column separately. It multiplies the fraction of rows in the workspace by
// the fraction of rows in the time range, as if the memories of every workspace had the same distribution over
// time. So it may expect ten memories where there are a million. Therefore estimate returns the mean of what the
// matches in the two samples suggest.
func (p *planner) estimate(ctx context.Context, s *span) (int64, error) {
	// One sample of a half was read when the span was whole, and may reach beyond the half. If so, the half has fewer
	// than sampleRows memories, and the other sample has counted them all.
	fewer := s.first
	if s.last.rows < fewer.rows {
		fewer = s.last
	}
	if fewer.rows < sampleRows {
		return fewer.matches, nil
	}
	all, err := p.expected(ctx, s.Range)
	if err != nil {
		return 0, err
	}
	forward, err := p.extrapolate(ctx, s.Range, all, &s.first)
	if err != nil {
		return 0, err
	}
	backward, err := p.extrapolate(ctx, s.Range, all, &s.last)
	return forward/2 + backward/2, err
}

// extrapolate returns how many memories of r the query matches. s is a sample of r. all is Postgres's estimate for r,
// which extrapolate corrects if s refutes it.
func (p *planner) extrapolate(ctx context.Context, r Range, all int64, s *sample) (_ int64, err error) {
	if s.expected == 0 {
		if s.expected, err = p.expected(ctx, s.keys); err != nil {
			return 0, err
		}
	}
	return correct(all, s.expected, s.matches, s.keys.microseconds()/r.microseconds()), nil
}

// correct returns how many memories of a range the query matches. all is Postgres's estimate for the range, and
// expected is Postgres's estimate for a part of the range. matches is the counted number for that part. timeShare
// is the part's share of the range's time. It is 0 if the part lies within one instant, and NaN if the whole range
// does.
//
// If matches refutes expected, correct assumes that all is wrong by the same factor as expected. But if expected is
// too inexact and timeShare is positive, correct assumes that matches are as frequent in the whole range as in the
// part.
func correct(all, expected, matches int64, timeShare float64) int64 {
	if less, more := min(expected, matches), max(expected, matches); more >= leastEvidence && more > refuted*less {
		share := float64(expected) / float64(max(all, expected, 1))
		if expected < leastEvidence && timeShare > 0 {
			// Postgres never expects less than one row, so a small value of expected is too inexact.
			share = timeShare
		}
		all = int64(min(float64(max(matches, 1))/share, maxEstimate))
	}
	return max(all, matches)
}

// microseconds returns the time between the first and the last key of the range.
func (r Range) microseconds() float64 { return float64(r.Last.CreatedAt) - float64(r.First.CreatedAt) }

// maxEstimate keeps sums of estimates from overflowing.
const maxEstimate = 1 << 50

// sample is what the first or the last memories of a range show. A range without memories has the zero value.
type sample struct {
	rows, matches int64
	keys          Range // from the first to the last of the memories that were read
	expected      int64 // Postgres's estimate of matches; 0 if it has not been asked, because it never expects less than 1
}

// samples reads the first memories of the workspace in the filter's time window that meet the conditions added by
// ofFirst, and the last ones that meet those added by ofLast: sampleRows of each, along the index.
func (p *planner) samples(ctx context.Context, ofFirst, ofLast func(*where)) (first, last sample, err error) {
	firsts := p.window()
	ofFirst(firsts)
	lasts := p.window(firsts.args...)
	ofLast(lasts)
	matching := &where{args: lasts.args}
	p.query.Filter.where(matching)
	matches := "true"
	if len(matching.conditions) > 0 {
		matches = matching.sql()
	}
	read := func(w *where, order, least, greatest string) string { // array_agg keeps the order of the subquery
		return fmt.Sprintf(`(SELECT count(*), count(*) FILTER (WHERE matches),
				(array_agg(id))[%[1]s], timestamptz_send((array_agg(created_at))[%[1]s]), (array_agg(id))[%[2]s], timestamptz_send((array_agg(created_at))[%[2]s])
			FROM (SELECT id, created_at, %[3]s AS matches FROM %[4]s WHERE %[5]s ORDER BY created_at %[6]s, id %[6]s LIMIT %[7]d) sample)`,
			least, greatest, matches, p.table, w.sql(), order, sampleRows)
	}
	var f, l sampleRow
	err = p.tx.QueryRowxContext(ctx, `SELECT * FROM `+read(firsts, "ASC", "1", "count(*)::int")+` firsts, `+
		read(lasts, "DESC", "count(*)::int", "1")+` lasts`, matching.args...).Scan(append(f.columns(), l.columns()...)...)
	if err != nil {
		return first, last, fmt.Errorf("sample a range: %w", err)
	}
	if first, err = f.sample(); err != nil {
		return first, last, err
	}
	last, err = l.sample()
	return first, last, err
}

// sampleRow holds the columns of a sample.
type sampleRow struct {
	rows, matches   int64
	least, greatest keyRow
}

func (s *sampleRow) columns() []any {
	return []any{&s.rows, &s.matches, &s.least.id, &s.least.createdAt, &s.greatest.id, &s.greatest.createdAt}
}

func (s *sampleRow) sample() (_ sample, err error) {
	result := sample{rows: s.rows, matches: s.matches}
	if s.rows == 0 {
		return result, nil
	}
	if result.keys.First, err = s.least.key(); err != nil {
		return result, err
	}
	result.keys.Last, err = s.greatest.key()
	return result, err
}

// expected returns Postgres's estimate of how many memories of the range the query matches.
func (p *planner) expected(ctx context.Context, r Range) (int64, error) {
	w := p.query.where()
	// Postgres estimates plain comparisons of a column well, and comparisons of rows badly.
	w.and("created_at >= ?::timestamptz", r.First.CreatedAt.literal())
	w.and("created_at <= ?::timestamptz", r.Last.CreatedAt.literal())
	if r.First.CreatedAt == r.Last.CreatedAt {
		w.and("id >= ?::uuid", r.First.ID)
		w.and("id <= ?::uuid", r.Last.ID)
	}
	var explained string
	if err := p.tx.QueryRowxContext(ctx, `EXPLAIN (FORMAT JSON) SELECT 1 FROM `+p.table+` WHERE `+w.sql(), w.args...).Scan(&explained); err != nil {
		return 0, fmt.Errorf("estimate a range: %w", err)
	}
	var plans [1]struct { // of one statement
		Plan struct {
			Rows float64 `json:"Plan Rows"`
		}
	}
	if err := json.Unmarshal([]byte(explained), &plans); err != nil {
		return 0, fmt.Errorf("estimate a range: read the plan: %w", err)
	}
	return int64(min(plans[0].Plan.Rows, maxEstimate)), nil
}

// sizeRows is how many memories at each end of the time window show how large memories are.
const sizeRows = 50

// averageSize returns the mean size in bytes of text and metadata together, of the first and the last memories.
// Postgres knows both sizes without reading the values. That of the metadata is the size after compression.
func (p *planner) averageSize(ctx context.Context) (size int64, err error) {
	w := p.window()
	end := func(order string) string {
		return fmt.Sprintf(`(SELECT memory, metadata FROM %[1]s WHERE %[2]s ORDER BY created_at %[3]s, id %[3]s LIMIT %[4]d)`, p.table, w.sql(), order, sizeRows)
	}
	err = p.tx.QueryRowxContext(ctx, `SELECT coalesce(avg(coalesce(octet_length(memory), 0)::bigint + coalesce(pg_column_size(metadata), 0)), 0)::bigint
		FROM (`+end("ASC")+` UNION ALL `+end("DESC")+`) ends`, w.args...).Scan(&size)
	if err != nil {
		return 0, fmt.Errorf("look up the sizes of memories: %w", err)
	}
	return size, nil
}
