package main

import (
	"os"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"memexport/worker"
)

const (
	// leastMemory is the memory limit of a worker that runs at most fewActivities at once and has
	// DefaultCachedWorkflows workflows in its cache. While there is only one export, the worker runs at most
	// four activities: two write ranges, one verifies a range, and one is the reconciler. Each further activity
	// adds perActivity, the size of three part buffers, to the limit. docs/performance.md has figures.
	leastMemory   = fewActivities*perActivity + worker.DefaultCachedWorkflows*perCached
	fewActivities = 4
	perActivity   = 27 << 20
	// perCached is the memory of a sleeping workflow: about 17 KiB of stack and 14 KiB of heap.
	perCached = 32 << 10
)

// collectGarbageEarly makes the API collect garbage more often, so that it needs less memory. The
// collections cost little processor time, because the API mostly copies bytes. The environment variable
// GOGC overrides this.
func collectGarbageEarly() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
}

// tuneMemory makes the worker collect garbage less often. The worker's live heap is small, so with the
// default settings a collection would start after few allocations. A memory limit still keeps the worker
// small. tuneMemory returns a function that sets this limit for a number of running activities. The
// environment variable GOGC overrides how often the worker collects garbage. If GOMEMLIMIT is set, it
// overrides the limit, and tuneMemory returns nil.
func tuneMemory() (limit func(activities int)) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	if os.Getenv("GOMEMLIMIT") != "" {
		return nil
	}
	most := mostMemory()
	set := int64(0)
	limit = func(activities int) {
		if wanted := memoryLimit(activities, most); wanted != set {
			set = wanted
			debug.SetMemoryLimit(wanted)
		}
	}
	limit(0)
	return limit
}

// memoryLimit returns the memory limit of a worker that runs this number of activities. The limit does not
// exceed the parameter greatest.
func memoryLimit(activities int, greatest int64) int64 {
	return min(leastMemory+int64(max(0, activities-fewActivities))*perActivity, greatest)
}

// mostMemory returns four fifths of the container's memory limit. If the container has no limit, it returns
// four fifths of the machine's memory. The last fifth is for memory that Go does not count towards its own
// limit, such as the program itself.
func mostMemory() int64 {
	bytes, err := memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem)()
	if err != nil || bytes > 1<<50 { // unknown
		return 1 << 50
	}
	return int64(bytes / 5 * 4)
}
