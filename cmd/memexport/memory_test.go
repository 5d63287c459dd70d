package main

import (
	"math"
	"os"
	"runtime/debug"
	"testing"
)

func TestTheMemoryLimitFollowsTheActivities(t *testing.T) {
	const mib, cached = 1 << 20, 500 * 32 << 10 // cached is the room for the workflows that stay in memory
	for _, c := range []struct {
		activities int
		most, want int64
	}{
		{0, math.MaxInt64, cached + 108*mib},
		{4, math.MaxInt64, cached + 108*mib}, // one export alone
		{8, math.MaxInt64, cached + 216*mib},
		{32, math.MaxInt64, cached + 864*mib},
		{32, 205 * mib, 205 * mib}, // four fifths of a container of 256 MiB
		{0, 51 * mib, 51 * mib},
	} {
		if got := memoryLimit(c.activities, c.most); got != c.want {
			t.Errorf("with %d activities and at most %d bytes, the limit is %d, want %d", c.activities, c.most, got, c.want)
		}
	}
	if most := mostMemory(); most < 64*mib {
		t.Errorf("the most memory is %d bytes", most)
	}
}

func TestTheEnvironmentOverridesTheMemoryLimit(t *testing.T) {
	restore := debug.SetMemoryLimit(-1)
	percent := debug.SetGCPercent(100)
	t.Cleanup(func() { debug.SetMemoryLimit(restore); debug.SetGCPercent(percent) })
	t.Setenv("GOMEMLIMIT", "1GiB")
	if tuneMemory() != nil || debug.SetMemoryLimit(-1) != restore {
		t.Error("GOMEMLIMIT is overridden")
	}
	if err := os.Unsetenv("GOMEMLIMIT"); err != nil {
		t.Fatal(err)
	}
	limit := tuneMemory()
	limit(8)
	if got := debug.SetMemoryLimit(-1); got != memoryLimit(8, mostMemory()) {
		t.Errorf("the limit is %d", got)
	}
}
