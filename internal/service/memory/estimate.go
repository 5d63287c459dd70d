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

// The number of matches in a sample refutes Postgres's estimate of that number if the greater of the two is
// at least leastEvidence, and more than refuted times the smaller one. Smaller differences are left alone,
// because the density of memories varies.
const (
	refuted       = 3
	leastEvidence = 30
)

// estimate returns how many memories of the range the query matches, exactly or approximately.
//
// Postgres keeps statistics of each column separately. It multiplies the fraction of rows in the workspace by
// the fraction of rows in the time range, as if the memories of every workspace had the same distribution over
// time. So it may expect ten memories where there are a million. Therefore estimate counts the matches among
// the first memories of the range. If Postgres is wrong about these, estimate assumes that Postgres is wrong
// about the whole range by the same factor.
func (p *planner) estimate(ctx context.Context, r Range) (int64, error) {
	seen, err := p.sample(ctx, r)
	if err != nil || seen.rows < sampleRows {
		return seen.matches, err
	}
	all, err := p.expected(ctx, r)
	if err != nil {
		return 0, err
	}
	begin, err := p.expected(ctx, Range{First: r.First, Last: seen.last})
	if err != nil {
		return 0, err
	}
	tooFew := seen.matches >= leastEvidence && seen.matches > refuted*begin
	tooMany := begin >= leastEvidence && begin > refuted*seen.matches
	if tooFew || tooMany {
		share := float64(begin) / float64(max(all, begin, 1))
		if elapsed, whole := float64(seen.last.CreatedAt)-float64(r.First.CreatedAt), float64(r.Last.CreatedAt)-float64(r.First.CreatedAt); begin < leastEvidence && elapsed > 0 {
			// Postgres never expects less than one row, so a small value of begin is too inexact.
			share = elapsed / whole
		}
		all = int64(min(float64(max(seen.matches, 1))/share, maxEstimate))
	}
	return max(all, seen.matches), nil
}

// maxEstimate keeps sums of estimates from overflowing.
const maxEstimate = 1 << 50

// sample is what the first memories of a range show.
type sample struct {
	rows, matches int64
	last          Key
}

// sample reads the first sampleRows memories of the workspace in the range, along the index.
func (p *planner) sample(ctx context.Context, r Range) (s sample, err error) {
	inner := (&Query{WorkspaceID: p.query.WorkspaceID}).where()
	inner.and("(created_at, id) >= (?::timestamptz, ?::uuid)", r.First.CreatedAt.literal(), r.First.ID)
	inner.and("(created_at, id) <= (?::timestamptz, ?::uuid)", r.Last.CreatedAt.literal(), r.Last.ID)
	matching := &where{args: inner.args}
	p.query.Filter.where(matching)
	filter := "true"
	if len(matching.conditions) > 0 {
		filter = matching.sql()
	}
	var createdAt []byte
	var id *string
	// The last memory of the sample has the greatest time, but it has the greatest id only if all memories
	// have the same time. If the times differ, the id may be wrong, but then expected does not use it.
	err = p.tx.QueryRowxContext(ctx, fmt.Sprintf(`SELECT count(*), count(*) FILTER (WHERE %s), timestamptz_send(max(created_at)), max(id::text COLLATE "C")
		FROM (SELECT * FROM %s WHERE %s ORDER BY created_at, id LIMIT %d) first`, filter, p.table, inner.sql(), sampleRows), matching.args...).
		Scan(&s.rows, &s.matches, &createdAt, &id)
	if err != nil {
		return s, fmt.Errorf("sample a range: %w", err)
	}
	if len(createdAt) == 8 && id != nil {
		s.last = Key{CreatedAt: Time(binary.BigEndian.Uint64(createdAt)), ID: *id}
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
	var plans []struct {
		Plan struct {
			Rows float64 `json:"Plan Rows"`
		}
	}
	if err := json.Unmarshal([]byte(explained), &plans); err != nil || len(plans) == 0 {
		return 0, fmt.Errorf("estimate a range: read the plan: %w", err)
	}
	return int64(min(plans[0].Plan.Rows, maxEstimate)), nil
}
