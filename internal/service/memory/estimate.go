package memory

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
)

// sampleRows is how many memories a sample reads. Reading so many entries of an index takes about a
// millisecond. A range with fewer memories is counted exactly.
const sampleRows = 1000

// A sample refutes Postgres's estimate if two numbers differ by more than the factor refuted: the number of matches
// in the sample, and Postgres's estimate of that number. The greater of them must also be at least leastEvidence.
// Smaller differences are ignored, because the density of memories varies.
const (
	refuted       = 3
	leastEvidence = 30
)

// estimate returns how many memories of the range the query matches, exactly or approximately.
//
// Postgres keeps statistics of each column separately. It multiplies the fraction of rows in the workspace by
// the fraction of rows in the time range, as if the memories of every workspace had the same distribution over
// time. So it may expect ten memories where there are a million. Therefore estimate counts the matches among the
// first and among the last memories of the range, and returns the mean of what these two samples suggest.
func (p *planner) estimate(ctx context.Context, r Range) (int64, error) {
	first, err := p.sample(ctx, r, ascending)
	if err != nil || first.rows < sampleRows {
		return first.matches, err
	}
	last, err := p.sample(ctx, r, descending)
	if err != nil {
		return 0, err
	}
	all, err := p.expected(ctx, r)
	if err != nil {
		return 0, err
	}
	forward, err := p.extrapolate(ctx, r, all, first, Range{First: r.First, Last: first.edge})
	if err != nil {
		return 0, err
	}
	backward, err := p.extrapolate(ctx, r, all, last, Range{First: last.edge, Last: r.Last})
	return forward/2 + backward/2, err
}

// extrapolate returns how many memories of r the query matches. s is a sample of r, and sampled is the part of r
// from which the sample was read. all is Postgres's estimate for r, which extrapolate corrects if s refutes it.
func (p *planner) extrapolate(ctx context.Context, r Range, all int64, s sample, sampled Range) (int64, error) {
	expected, err := p.expected(ctx, sampled)
	if err != nil {
		return 0, err
	}
	return correct(all, expected, s.matches, sampled.microseconds()/r.microseconds()), nil
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

// sample is what the first or the last memories of a range show.
type sample struct {
	rows, matches int64
	edge          Key // the key of the memory that was read last
}

// direction is an order along the keyset index.
type direction struct{ order, edge string }

var (
	ascending  = direction{order: "ASC", edge: "max"}
	descending = direction{order: "DESC", edge: "min"}
)

// sample reads sampleRows memories of the workspace along the index, from the first or from the last key of the
// range.
func (p *planner) sample(ctx context.Context, r Range, d direction) (s sample, err error) {
	inner := (&Query{WorkspaceID: p.query.WorkspaceID}).where()
	inner.and("(created_at, id) >= (?::timestamptz, ?::uuid)", r.First.CreatedAt.literal(), r.First.ID)
	inner.and("(created_at, id) <= (?::timestamptz, ?::uuid)", r.Last.CreatedAt.literal(), r.Last.ID)
	matching := &where{args: inner.args}
	p.query.Filter.where(matching)
	matches := "true"
	if len(matching.conditions) > 0 {
		matches = matching.sql()
	}
	var createdAt []byte
	var id *string
	// max or min finds the time of the memory that was read last. It finds the id of that memory only if all
	// memories of the sample have the same time. Otherwise the id may belong to another memory, but then the
	// method expected does not use the id.
	err = p.tx.QueryRowxContext(ctx, fmt.Sprintf(`SELECT count(*), count(*) FILTER (WHERE matches),
			timestamptz_send(%[2]s(created_at)), %[2]s(id::text COLLATE "C")
		FROM (SELECT created_at, id, %[1]s AS matches FROM %[3]s WHERE %[4]s ORDER BY created_at %[5]s, id %[5]s LIMIT %[6]d) sample`,
		matches, d.edge, p.table, inner.sql(), d.order, sampleRows), matching.args...).
		Scan(&s.rows, &s.matches, &createdAt, &id)
	if err != nil {
		return s, fmt.Errorf("sample a range: %w", err)
	}
	if len(createdAt) == 8 && id != nil {
		s.edge = Key{CreatedAt: Time(binary.BigEndian.Uint64(createdAt)), ID: *id}
	}
	return s, nil
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
