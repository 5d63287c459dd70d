package memory

import (
	"context"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
)

// MaxRanges bounds the ranges of one export, and with them the history of its workflow.
const MaxRanges = 64

// rangeRows is the estimated number of memories from which a range is worth splitting: about half a
// second of work. The last ranges are verified when nothing else is left to do, so that larger ones
// would make every export wait.
const rangeRows = 125_000

// maxSplits bounds the time that planning takes: about a millisecond each.
const maxSplits = 4 * MaxRanges

// PlannedRange is a range and the planner's guess of how many memories will be read in it.
type PlannedRange struct {
	Range
	Estimate int64 `json:"estimate"`
}

// Plan divides the keys that the workspace has at this moment into ranges in ascending order, at
// most MaxRanges, of roughly equal work. No range means no memory. The last key of the last range
// is the greatest that exists now: a key and not a clock, since created_at may lie in the future.
//
// It counts nothing: a range is halved between its first and its last key, both looked up in the
// index, and the planner's statistics say how many rows a half holds. What turns out to be small is
// joined again. Poor statistics make the ranges uneven, never wrong.
func (s *Source) Plan(ctx context.Context, q Query) ([]PlannedRange, error) {
	tx, err := s.begin(ctx, Query{WorkspaceID: q.WorkspaceID}) // look-ups go along the keyset index, without the filter
	if err != nil {
		return nil, err
	}
	defer tx.Rollback() //nolint:errcheck // it only reads: nothing is lost
	p := planner{tx: tx, table: s.table, query: q}

	first, err := p.key(ctx, "ASC", "")
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	last, err := p.key(ctx, "DESC", "")
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil // deleted in between
	}
	if err != nil {
		return nil, err
	}
	whole := PlannedRange{Range: Range{first, last}}
	if whole.Estimate, err = p.estimate(ctx, whole.Range); err != nil {
		return nil, err
	}
	target := max(s.rangeRows, whole.Estimate/MaxRanges*5/4)
	ranges := []PlannedRange{whole}
	for range maxSplits {
		largest, sum := 0, int64(0)
		for i, r := range ranges {
			sum += r.Estimate
			if r.Estimate > ranges[largest].Estimate {
				largest = i
			}
		}
		if inProportion(ranges[largest].Estimate, whole.Estimate, sum) <= target {
			break // the largest is small enough, and so are all others
		}
		halves, err := p.split(ctx, ranges[largest])
		if err != nil {
			return nil, err
		}
		if len(halves) == 1 {
			halves[0].Estimate = 0 // one key, or gone: no more to split
		}
		ranges = slices.Replace(ranges, largest, largest+1, halves...)
	}
	level(ranges, whole.Estimate)
	return join(ranges, target), nil
}

// level makes estimates add up to that of the whole, which is the best that there is: those of its
// parts are too high together, or too low, where memories lie otherwise than the statistics suppose.
func level(ranges []PlannedRange, whole int64) {
	var sum int64
	for _, r := range ranges {
		sum += r.Estimate
	}
	for i, r := range ranges {
		ranges[i].Estimate = inProportion(r.Estimate, whole, sum)
	}
}

// inProportion is an estimate that is one of several with the sum, if they were to add up to whole.
func inProportion(estimate, whole, sum int64) int64 {
	return int64(float64(estimate) * float64(whole) / float64(max(sum, 1)))
}

// join joins neighbours that are small together. Splitting leaves such where the statistics expected
// more: at an instant, say, at which another workspace has many memories.
func join(ranges []PlannedRange, target int64) []PlannedRange {
	joined := ranges[:1]
	for _, r := range ranges[1:] {
		if last := &joined[len(joined)-1]; last.Estimate+r.Estimate <= target {
			last.Last, last.Estimate = r.Last, last.Estimate+r.Estimate
		} else {
			joined = append(joined, r)
		}
	}
	for len(joined) > MaxRanges {
		least := 0
		for i := range joined[:len(joined)-1] {
			if joined[i].Estimate+joined[i+1].Estimate < joined[least].Estimate+joined[least+1].Estimate {
				least = i
			}
		}
		joined[least].Last, joined[least].Estimate = joined[least+1].Last, joined[least].Estimate+joined[least+1].Estimate
		joined = slices.Delete(joined, least+1, least+2)
	}
	return joined
}

// planner looks things up for one plan, in one transaction.
type planner struct {
	tx    *sqlx.Tx
	table string
	query Query
}

// split halves a range at the middle between its first and its last key, and shrinks both halves to
// keys that exist. A range that cannot be split comes back alone.
func (p *planner) split(ctx context.Context, r PlannedRange) ([]PlannedRange, error) {
	if r.First.Compare(r.Last) >= 0 {
		return []PlannedRange{r}, nil
	}
	middle, err := between(r.First, r.Last)
	if err != nil {
		return nil, err
	}
	// The middle is at least First and less than Last, so that both halves hold a key, unless it
	// has been deleted since: then the range stays whole.
	left, err := p.key(ctx, "DESC", "<=", middle)
	if errors.Is(err, sql.ErrNoRows) {
		return []PlannedRange{r}, nil
	}
	if err != nil {
		return nil, err
	}
	right, err := p.key(ctx, "ASC", ">", middle)
	if errors.Is(err, sql.ErrNoRows) {
		return []PlannedRange{r}, nil
	}
	if err != nil {
		return nil, err
	}
	if left.Compare(r.First) < 0 || right.Compare(r.Last) > 0 {
		return []PlannedRange{r}, nil
	}
	halves := []PlannedRange{{Range: Range{r.First, left}}, {Range: Range{right, r.Last}}}
	for i := range halves {
		if halves[i].Estimate, err = p.estimate(ctx, halves[i].Range); err != nil {
			return nil, err
		}
	}
	return halves, nil
}

// key looks up the workspace's first (ASC) or last (DESC) key, of those that compare so to bound.
func (p *planner) key(ctx context.Context, order, comparison string, bound ...Key) (Key, error) {
	// The filter's window counts, its other conditions do not: the index knows nothing of them.
	window := Filter{CreatedAfter: p.query.Filter.CreatedAfter, CreatedBefore: p.query.Filter.CreatedBefore}
	w := (&Query{p.query.WorkspaceID, window}).where()
	if len(bound) > 0 {
		w.and("(created_at, id) "+comparison+" (?::timestamptz, ?::uuid)", bound[0].CreatedAt.literal(), bound[0].ID)
	}
	var id uuid.UUID
	var createdAt []byte
	err := p.tx.QueryRowxContext(ctx, `SELECT id, timestamptz_send(created_at) FROM `+p.table+
		` WHERE `+w.sql()+` ORDER BY created_at `+order+`, id `+order+` LIMIT 1`, w.args...).Scan(&id, &createdAt)
	if err != nil {
		return Key{}, fmt.Errorf("look up a key: %w", err)
	}
	if len(createdAt) != 8 {
		return Key{}, errNotBinary
	}
	return Key{Time(binary.BigEndian.Uint64(createdAt)), id.String()}, nil
}

// estimate asks Postgres's planner how many memories of the range the query matches.
func (p *planner) estimate(ctx context.Context, r Range) (int64, error) {
	w := p.query.where()
	// Plain comparisons of the columns: Postgres estimates those well, and row comparisons badly.
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
	return int64(min(plans[0].Plan.Rows, 1<<50)), nil
}

// between is the key halfway from a to b, which is greater: at least a and less than b. Keys of
// different instants are divided in time, keys of one instant by their id.
func between(a, b Key) (Key, error) {
	if a.CreatedAt != b.CreatedAt {
		return Key{middle(a.CreatedAt, b.CreatedAt), "ffffffff-ffff-ffff-ffff-ffffffffffff"}, nil
	}
	low, err := uuid.Parse(a.ID)
	if err != nil {
		return Key{}, fmt.Errorf("the id %q of a memory: %w", a.ID, err)
	}
	high, err := uuid.Parse(b.ID)
	if err != nil {
		return Key{}, fmt.Errorf("the id %q of a memory: %w", b.ID, err)
	}
	var id uuid.UUID
	sum := new(big.Int).SetBytes(low[:])
	sum.Add(sum, new(big.Int).SetBytes(high[:])).Rsh(sum, 1).FillBytes(id[:])
	return Key{a.CreatedAt, id.String()}, nil
}

// middle is halfway from a to b, which is later: at least a and less than b.
func middle(a, b Time) Time {
	switch {
	case a == NegativeInfinity:
		return a
	case b == Infinity:
		return maxFinite
	}
	return a&b + (a^b)>>1 // the mean, rounded down, without overflow
}
