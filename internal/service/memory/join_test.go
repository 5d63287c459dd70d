package memory

import (
	"math/big"
	"slices"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// TestJoiningRangesKeepsEveryKey joins neighbouring ranges, which begin at even times and end at odd ones.
func TestJoiningRangesKeepsEveryKey(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		estimates := rapid.SliceOfN(rapid.Int64Range(0, 30), 1, 200).Draw(t, "estimates")
		target := rapid.Int64Range(1, 60).Draw(t, "target")
		var ranges []PlannedRange
		for i, n := range estimates {
			r := Range{First: Key{CreatedAt: Time(2 * i)}, Last: Key{CreatedAt: Time(2*i + 1)}}
			ranges = append(ranges, PlannedRange{Range: r, Estimate: n})
		}
		joined := join(slices.Clone(ranges), target)
		if len(joined) > MaxRanges {
			t.Fatalf("%d ranges", len(joined))
		}
		next := Time(0)
		for i, r := range joined {
			if r.First.CreatedAt != next {
				t.Fatalf("the range %d begins at %d, want %d", i, r.First.CreatedAt, next)
			}
			next = r.Last.CreatedAt + 1
			var sum int64
			for _, n := range estimates[r.First.CreatedAt/2 : next/2] {
				sum += n
			}
			if r.Estimate != sum {
				t.Fatalf("the range %d has the estimate %d, want %d", i, r.Estimate, sum)
			}
			if first := estimates[r.First.CreatedAt/2]; i > 0 && joined[i-1].Estimate+first <= target {
				t.Fatalf("the range %d has %d memories, and could have %d more up to %d", i-1, joined[i-1].Estimate, first, target)
			}
			if whole := r.First.CreatedAt+1 == r.Last.CreatedAt; len(estimates) <= MaxRanges && r.Estimate > target && !whole {
				t.Fatalf("the range %d has %d memories, more than %d", i, r.Estimate, target)
			}
		}
		if int(next) != 2*len(estimates) {
			t.Fatalf("the last range ends at %d of %d", next, 2*len(estimates))
		}
	})
}

func TestRangesAreJoinedWhereTheyAreSmallest(t *testing.T) {
	ranges := make([]PlannedRange, MaxRanges+1)
	for i := range ranges {
		ranges[i] = PlannedRange{Range: Range{First: Key{CreatedAt: Time(i)}, Last: Key{CreatedAt: Time(i)}}, Estimate: 100}
	}
	ranges[40].Estimate, ranges[41].Estimate = 98, 99
	joined := join(ranges, 100)
	if len(joined) != MaxRanges || joined[40].Estimate != 197 || joined[40].First.CreatedAt != 40 || joined[40].Last.CreatedAt != 41 {
		t.Errorf("%d ranges, and the range 40 is %+v", len(joined), joined[40])
	}
}

func TestTheKeyBetweenTwoKeysHalvesThem(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		time := rapid.Int64Range(int64(minFinite), int64(maxFinite))
		a, b := time.Draw(t, "a"), time.Draw(t, "b")
		if a > b {
			a, b = b, a
		}
		if a < b {
			k, err := between(Key{CreatedAt: Time(a)}, Key{CreatedAt: Time(b)})
			if want := half(big.NewInt(a), big.NewInt(b)); err != nil || int64(k.CreatedAt) != want.Int64() || k.ID != uuid.Max.String() {
				t.Fatalf("between %d and %d is %+v (%v), want the time %d", a, b, k, err, want)
			}
		}
		var low, high uuid.UUID
		copy(low[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "low"))
		copy(high[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "high"))
		k, err := between(Key{CreatedAt: 1, ID: low.String()}, Key{CreatedAt: 1, ID: high.String()})
		if err != nil {
			t.Fatal(err)
		}
		got := uuid.MustParse(k.ID)
		if want := half(new(big.Int).SetBytes(low[:]), new(big.Int).SetBytes(high[:])); k.CreatedAt != 1 || new(big.Int).SetBytes(got[:]).Cmp(want) != 0 {
			t.Fatalf("between %s and %s is %+v", low, high, k)
		}
	})
}

// half returns the mean of a and b, rounded down.
func half(a, b *big.Int) *big.Int {
	return new(big.Int).Rsh(new(big.Int).Add(a, b), 1)
}
