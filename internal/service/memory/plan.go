package memory

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
)

// MaxRanges is the largest number of ranges of one export. It bounds the history of the workflow, which
// has some events for each range.
const MaxRanges = 64

// defaultRangeRows is the estimated number of memories above which a range is split. Writing 125,000
// memories takes about half a second. A range is verified after it was written. With larger ranges,
// every export would spend more time at its end on verifying the ranges that were written last.
const defaultRangeRows = 125_000

// defaultRangeBytes is the estimated size of a range's texts and metadata above which the range is split. Without
// this limit, one connection would read all of an export of fewer than 125,000 memories, however large they are.
const defaultRangeBytes = 80 << 20

// maxSplits bounds the time for planning. A split takes some milliseconds, most of them for the samples.
const maxSplits = 4 * MaxRanges

// PlannedRange is a range with Postgres's estimate of how many of its memories the query matches.
type PlannedRange struct {
	Range
	Estimate int64 `json:"estimate"`
}

// Plan divides the keys that the workspace has now into ascending ranges of roughly equal work, at
// most MaxRanges of them. It returns no ranges if there are no memories. The last range ends at the
// greatest key that exists now, and not at the current time, because created_at may be in the future.
//
// Plan does not count rows. To halve a range, it looks up the first and last key in the index, takes
// the middle between the two, and asks Postgres's planner how many rows each half holds. It checks the
// answer by samples. In the end it joins small neighbouring ranges. If the statistics are poor or the
// sizes of memories vary, the ranges have uneven sizes, but they still contain every memory exactly once.
func (s *Source) Plan(ctx context.Context, q Query) ([]PlannedRange, error) {
	tx, err := s.begin(ctx, Query{WorkspaceID: q.WorkspaceID}) // no filter, so that lookups use the keyset index
	if err != nil {
		return nil, err
	}
	defer tx.Rollback() //nolint:errcheck // the transaction only reads
	p := planner{tx: tx, table: s.table, query: q}

	first, err := p.firstKey(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	last, err := p.lastKey(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil // all memories were deleted since the first lookup
	}
	if err != nil {
		return nil, err
	}
	whole := PlannedRange{Range: Range{First: first, Last: last}}
	if whole.Estimate, err = p.estimate(ctx, whole.Range); err != nil {
		return nil, err
	}
	rows := s.rangeRows
	if whole.Estimate > 2*sizeRows { // fewer memories are not worth the round trip
		size, err := p.averageSize(ctx)
		if err != nil {
			return nil, err
		}
		rows = min(rows, max(1, s.rangeBytes/max(1, size)))
	}
	ranges := []PlannedRange{whole}
	target := rows
	for range maxSplits {
		largest, sum := 0, int64(0)
		for i, r := range ranges {
			sum += r.Estimate
			if r.Estimate > ranges[largest].Estimate {
				largest = i
			}
		}
		target = max(rows, sum/MaxRanges*5/4)
		if ranges[largest].Estimate <= target {
			break // the largest range is small enough, and so are all others
		}
		halves, err := p.split(ctx, ranges[largest])
		if err != nil {
			return nil, err
		}
		if len(halves) == 1 {
			halves[0].Estimate = 0 // the range cannot be split, so it must not be chosen again
		}
		ranges = slices.Replace(ranges, largest, largest+1, halves...)
	}
	return join(ranges, target), nil
}

// join joins neighbouring ranges whose estimates together do not exceed target. Then it joins the
// neighbours with the smallest sums until there are at most MaxRanges. Splitting leaves small ranges
// where Postgres expected more memories than there are, for example around an instant at which
// another workspace has many.
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

// planner runs the lookups of one plan in one transaction.
type planner struct {
	tx    *sqlx.Tx
	table string
	query Query
}

// split halves a range at the middle between its first and last key, and shrinks both halves so that
// they begin and end with an existing key. If the range cannot be split, split returns it as the only
// element.
func (p *planner) split(ctx context.Context, r PlannedRange) ([]PlannedRange, error) {
	middle, err := between(r.First, r.Last)
	if err != nil {
		return nil, err
	}
	// If First < Last, each half holds a key, because First <= middle < Last. But if a key has been deleted
	// since it was looked up, a half may be empty or reach out of the range. Then the range is not split.
	left, err := p.lastKeyUpTo(ctx, middle)
	if errors.Is(err, sql.ErrNoRows) {
		return []PlannedRange{r}, nil
	}
	if err != nil {
		return nil, err
	}
	right, err := p.firstKeyAfter(ctx, middle)
	if errors.Is(err, sql.ErrNoRows) {
		return []PlannedRange{r}, nil
	}
	if err != nil {
		return nil, err
	}
	if left.Compare(r.First) < 0 || right.Compare(r.Last) > 0 {
		return []PlannedRange{r}, nil
	}
	halves := []PlannedRange{{Range: Range{First: r.First, Last: left}}, {Range: Range{First: right, Last: r.Last}}}
	for i := range halves {
		if halves[i].Estimate, err = p.estimate(ctx, halves[i].Range); err != nil {
			return nil, err
		}
	}
	return halves, nil
}

func (p *planner) firstKey(ctx context.Context) (Key, error) { return p.key(ctx, "ASC", "") }
func (p *planner) lastKey(ctx context.Context) (Key, error)  { return p.key(ctx, "DESC", "") }

func (p *planner) firstKeyAfter(ctx context.Context, k Key) (Key, error) {
	return p.key(ctx, "ASC", ">", k)
}

func (p *planner) lastKeyUpTo(ctx context.Context, k Key) (Key, error) {
	return p.key(ctx, "DESC", "<=", k)
}

// key looks up the workspace's first key (order ASC) or last key (order DESC). If a bound is given,
// it considers only keys k for which "k comparison bound" is true. It returns sql.ErrNoRows if there
// is no such key.
func (p *planner) key(ctx context.Context, order, comparison string, bound ...Key) (Key, error) {
	w := p.window()
	if len(bound) > 0 {
		w.and("(created_at, id) "+comparison+" (?::timestamptz, ?::uuid)", bound[0].CreatedAt.literal(), bound[0].ID)
	}
	return scanKey(p.tx.QueryRowxContext(ctx, `SELECT `+keyColumns+` FROM `+p.table+
		` WHERE `+w.sql()+` ORDER BY created_at `+order+`, id `+order+` LIMIT 1`, w.args...))
}

// window selects the memories of the workspace in the filter's time window. It leaves the rest of the filter out,
// because the index does not contain the other columns.
func (p *planner) window() *where {
	window := Filter{CreatedAfter: p.query.Filter.CreatedAfter, CreatedBefore: p.query.Filter.CreatedBefore}
	return (&Query{WorkspaceID: p.query.WorkspaceID, Filter: window}).where()
}

// keyColumns is the select list of a row for scanKey.
const keyColumns = `id, timestamptz_send(created_at)`

// scanKey returns the key that a statement with keyColumns has selected. If there is no row, it returns sql.ErrNoRows.
func scanKey(row *sqlx.Row) (Key, error) {
	var id uuid.NullUUID
	var createdAt []byte
	if err := row.Scan(&id, &createdAt); err != nil {
		return Key{}, fmt.Errorf("look up a key: %w", err)
	}
	if len(createdAt) != 8 || !id.Valid {
		return Key{}, errUnreadableRow
	}
	return Key{CreatedAt: Time(binary.BigEndian.Uint64(createdAt)), ID: id.UUID.String()}, nil
}

// between returns a key halfway between a and b. If a < b, the result is at least a and less than b. The
// result lies halfway between the times or, if both keys have the same time, halfway between the IDs.
func between(a, b Key) (Key, error) {
	if a.CreatedAt != b.CreatedAt {
		return Key{CreatedAt: middle(a.CreatedAt, b.CreatedAt), ID: "ffffffff-ffff-ffff-ffff-ffffffffffff"}, nil
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
	return Key{CreatedAt: a.CreatedAt, ID: id.String()}, nil
}

// middle returns the time halfway from a to b. It requires a < b, and its result is at least a and less
// than b.
func middle(a, b Time) Time {
	switch {
	case a == NegativeInfinity:
		return a
	case b == Infinity:
		return maxFinite
	}
	return a&b + (a^b)>>1 // the mean, rounded down, without overflow
}
