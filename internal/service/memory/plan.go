package memory

import (
	"context"
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

// defaultRangeRows is the estimated number of memories above which a range is split, so that ranges have about
// 120,000. Writing these takes about half a second. A range is verified after it was written. With larger ranges,
// every export would spend more time at its end on verifying the ranges that were written last.
const defaultRangeRows = 160_000

// defaultRangeBytes is the estimated size of a range's texts and metadata above which the range is split. Without
// this limit, one connection would read all of an export of fewer than 160,000 memories, however large they are.
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
// Plan does not count rows. It looks at the first and the last memories of a range along the index, and asks
// Postgres's planner how many rows there are between them. To halve a range, it looks at the memories on both
// sides of the middle between its first and last key. In the end it joins small neighbouring ranges. If the
// statistics are poor or the sizes of memories vary, the ranges have uneven sizes, but they still contain every
// memory exactly once.
func (s *Source) Plan(ctx context.Context, q Query) ([]PlannedRange, error) {
	tx, err := s.begin(ctx, Query{WorkspaceID: q.WorkspaceID}) // no filter, so that lookups use the keyset index
	if err != nil {
		return nil, err
	}
	defer tx.Rollback() //nolint:errcheck // the transaction only reads
	p := planner{tx: tx, table: s.table, query: q}

	whole, err := p.whole(ctx)
	if err != nil || whole == nil {
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
	spans := []span{*whole}
	target := rows
	for range maxSplits {
		largest, sum := 0, int64(0)
		for i, r := range spans {
			sum += r.Estimate
			if r.Estimate > spans[largest].Estimate {
				largest = i
			}
		}
		target = max(rows, sum/MaxRanges*5/4)
		if spans[largest].Estimate <= target {
			break // the largest range is small enough, and so are all others
		}
		halves, err := p.split(ctx, spans[largest])
		if err != nil {
			return nil, err
		}
		if len(halves) == 1 {
			halves[0].Estimate = 0 // the range cannot be split, so it must not be chosen again
		}
		spans = slices.Replace(spans, largest, largest+1, halves...)
	}
	at, err := position(ctx, tx) // last, because an error ends the transaction
	if err != nil && !errors.Is(err, errNoPosition) {
		return nil, fmt.Errorf("look up the position in the write-ahead log: %w", err)
	}
	ranges := make([]PlannedRange, len(spans))
	for i, s := range spans {
		ranges[i] = s.PlannedRange
		ranges[i].Position = at
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

// span is a range that may be split, with samples of its first and last memories.
type span struct {
	PlannedRange
	first, last sample
}

// whole returns the span of all memories in the filter's time window, or nil if there are none.
func (p *planner) whole(ctx context.Context) (*span, error) {
	first, last, err := p.samples(ctx, func(*where) {}, func(*where) {})
	if err != nil || first.rows == 0 {
		return nil, err
	}
	s := &span{PlannedRange{Range: Range{First: first.keys.First, Last: last.keys.Last}}, first, last}
	s.Estimate, err = p.estimate(ctx, s)
	return s, err
}

// split halves a span at the middle between its first and last key. Both halves begin and end with an existing key.
// If the span cannot be split, split returns it as the only element.
func (p *planner) split(ctx context.Context, s span) ([]span, error) {
	middle, err := between(s.First, s.Last)
	if err != nil {
		return nil, err
	}
	right, left, err := p.samples(ctx,
		func(w *where) { w.key(">", middle); w.key("<=", s.Last) },
		func(w *where) { w.key(">=", s.First); w.key("<=", middle) })
	if err != nil {
		return nil, err
	}
	// If First < Last, each half holds a key, because First <= middle < Last. But keys may have been deleted
	// since they were looked up.
	if left.rows == 0 || right.rows == 0 {
		return []span{s}, nil
	}
	halves := []span{
		{PlannedRange{Range: Range{First: s.First, Last: left.keys.Last}}, s.first, left},
		{PlannedRange{Range: Range{First: right.keys.First, Last: s.Last}}, right, s.last},
	}
	for i := range halves {
		if halves[i].Estimate, err = p.estimate(ctx, &halves[i]); err != nil {
			return nil, err
		}
	}
	return halves, nil
}

// window selects the memories of the workspace in the filter's time window. It leaves the rest of the filter out,
// because the index does not contain the other columns. Its placeholders are numbered after args.
func (p *planner) window(args ...any) *where {
	window := Filter{CreatedAfter: p.query.Filter.CreatedAfter, CreatedBefore: p.query.Filter.CreatedBefore}
	return (&Query{WorkspaceID: p.query.WorkspaceID, Filter: window}).where(args...)
}

// keyColumns is the select list of a row for scanKey.
const keyColumns = `id, timestamptz_send(created_at)`

// scanKey returns the key that a statement with keyColumns has selected. If there is no row, it returns sql.ErrNoRows.
func scanKey(row *sqlx.Row) (Key, error) {
	var k keyRow
	if err := row.Scan(&k.id, &k.createdAt); err != nil {
		return Key{}, fmt.Errorf("look up a key: %w", err)
	}
	return k.key()
}

// keyRow holds the columns of keyColumns.
type keyRow struct {
	id        uuid.NullUUID
	createdAt []byte
}

func (k *keyRow) key() (Key, error) {
	if len(k.createdAt) != 8 || !k.id.Valid {
		return Key{}, errUnreadableRow
	}
	return Key{CreatedAt: Time(binary.BigEndian.Uint64(k.createdAt)), ID: k.id.UUID.String()}, nil
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
