package memory

import (
	"slices"
	"testing"
)

func TestARangeWhoseEndIsDeletedIsNotSplit(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	exec(t, db, addShape+shapes["the future"]+` FROM generate_series(1, 10) i`)
	all, q := keys(t, db, tenant), Query{WorkspaceID: tenant}
	tx, err := s.begin(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	p := planner{tx: tx, table: s.table, query: q}
	hour := all[1].CreatedAt - all[0].CreatedAt
	later := func(k Key, by Time) Key { return Key{CreatedAt: k.CreatedAt + by, ID: k.ID} }
	for name, c := range map[string]struct {
		whole  Range
		halves []Range // nil if the range is not split
	}{
		"both ends exist":        {rangeOf(all[2], all[7]), []Range{rangeOf(all[2], all[4]), rangeOf(all[5], all[7])}},
		"one memory":             {rangeOf(all[2], all[2]), nil},
		"no memory at the start": {rangeOf(later(all[2], hour/2), all[3]), nil},
		"no memory at the end":   {rangeOf(all[2], later(all[3], -hour/2)), nil},
		"no first half at all":   {rangeOf(later(all[0], -2*hour), all[0]), nil},
		"no second half at all":  {rangeOf(all[9], later(all[9], 2*hour)), nil},
	} {
		if c.halves == nil {
			c.halves = []Range{c.whole}
		}
		split, err := p.split(t.Context(), span{PlannedRange: PlannedRange{Range: c.whole}})
		var got []Range
		for _, r := range split {
			got = append(got, r.Range)
		}
		if err != nil || !slices.Equal(got, c.halves) {
			t.Errorf("%s: split into %v: %v", name, got, err)
		}
	}
}

// If MaxRanges ranges of the usual size cannot hold all memories, the ranges are larger. They still have similar
// sizes.
func TestALargePlanHasLargerRangesAndNotMore(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	exec(t, db, addShape+shapes["uniform times"]+` FROM generate_series(1, 20000) i`)
	exec(t, db, `VACUUM ANALYZE memories`)
	ranges, matched := plan(t, s.with(t, SourceOptions{RangeRows: 10}), db, Query{WorkspaceID: tenant})
	if len(ranges) < MaxRanges/2 || slices.Max(matched) > 2*20000/MaxRanges {
		t.Errorf("%d ranges hold %v", len(ranges), matched)
	}
}
