package main

import (
	"math"
	"os"
	"runtime/debug"
	"testing"

	"memexport/worker"
)

func TestTheMemoryLimitFollowsTheLoad(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		load       worker.Load
		most, want int64
	}{
		{worker.Load{}, math.MaxInt64, 100 * mib},
		{worker.Load{Activities: 4}, math.MaxInt64, 100 * mib}, // one export alone
		{worker.Load{Activities: 4, Workflows: 32}, math.MaxInt64, 101 * mib},
		{worker.Load{Activities: 8, Workflows: 512}, math.MaxInt64, 260 * mib},
		{worker.Load{Activities: 32}, math.MaxInt64, 1108 * mib},
		{worker.Load{Activities: 32}, 205 * mib, 205 * mib}, // four fifths of a container of 256 MiB
		{worker.Load{}, 51 * mib, 51 * mib},
	} {
		if got := memoryLimit(c.load, c.most); got != c.want {
			t.Errorf("with %+v and at most %d bytes, the limit is %d, want %d", c.load, c.most, got, c.want)
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
	load := worker.Load{Activities: 8, Workflows: 100}
	limit(load)
	if got := debug.SetMemoryLimit(-1); got != memoryLimit(load, mostMemory()) {
		t.Errorf("the limit is %d", got)
	}
}
