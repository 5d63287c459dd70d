package main

import (
	"os"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"memexport/worker"
)

const (
	// leastMemory is the memory limit of a worker that runs one export: two activities write ranges, one verifies a
	// range, and one is the reconciler. docs/performance.md has figures.
	leastMemory   = 100 << 20
	fewActivities = 4
	// perActivity is added for each further activity. It is the size of four part buffers. An activity that writes has
	// two, and garbage fills the rest between two collections.
	perActivity = 36 << 20
	// perWorkflow is added for each workflow in memory: about 17 KiB of stack and 14 KiB of heap.
	perWorkflow = 32 << 10
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
// small. tuneMemory returns a function that sets this limit for a load. The environment variable GOGC overrides
// how often the worker collects garbage. If GOMEMLIMIT is set, it overrides the limit, and tuneMemory returns nil.
func tuneMemory() (limit func(worker.Load)) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	if os.Getenv("GOMEMLIMIT") != "" {
		return nil
	}
	most := mostMemory()
	set := int64(0)
	limit = func(load worker.Load) {
		if wanted := memoryLimit(load, most); wanted != set {
			set = wanted
			debug.SetMemoryLimit(wanted)
		}
	}
	limit(worker.Load{})
	return limit
}

// memoryLimit returns the memory limit of a worker that has this load. The limit does not exceed the parameter
// greatest.
func memoryLimit(load worker.Load, greatest int64) int64 {
	further := max(0, load.Activities-fewActivities)
	return min(leastMemory+int64(further)*perActivity+int64(load.Workflows)*perWorkflow, greatest)
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
