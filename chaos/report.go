package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dustin/go-humanize"
)

// report collects what happened. Its methods may be called by several goroutines.
type report struct {
	flags   options
	cancel  context.CancelCauseFunc
	created time.Time
	healed  atomic.Pointer[time.Time] // when the last fault had ended

	mu         sync.Mutex
	violations []string
	counts     map[string]int // by what was counted
	faults     map[string]int // by kind
	bytes      int64          // bytes of files that were compared
	memories   int            // memories in these files
}

var errViolation = errors.New("a violation was found")

func newReport(o options, cancel context.CancelCauseFunc) *report {
	return &report{flags: o, cancel: cancel, created: time.Now(), counts: map[string]int{}, faults: map[string]int{}}
}

// say prints a line with the time since the start.
func (r *report) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%7.1fs  %s\n", time.Since(r.created).Seconds(), fmt.Sprintf(format, args...))
}

// violate reports a broken promise. id is the export, or empty.
func (r *report) violate(id, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	r.mu.Lock()
	r.violations = append(r.violations, text)
	n := len(r.violations)
	r.mu.Unlock()
	if n <= 50 {
		r.say("VIOLATION seed=%d export=%s: %s", r.flags.seed, id, text)
	}
	if r.flags.firstOnly {
		r.cancel(errViolation)
	}
}

func (r *report) violationCount() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.violations)
}

// stopped reports whether the run ends early because of a violation.
func (r *report) stopped() bool { return r.flags.firstOnly && r.violationCount() > 0 }

func (r *report) count(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[what]++
}

func (r *report) countFault(kind string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults[kind]++
}

func (r *report) countFile(bytes, memories int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bytes += int64(bytes)
	r.memories += memories
}

// summarize prints what the run has done, to standard output.
func (r *report) summarize() {
	r.mu.Lock()
	defer r.mu.Unlock()
	total := 0
	for _, n := range r.faults {
		total += n
	}
	fmt.Printf("seed %d: %d exports accepted, %d faults, %d files with %d memories and %s compared, %d violations, %s\n",
		r.flags.seed, r.counts["accepted"], total, r.counts["files compared"], r.memories, humanize.IBytes(uint64(r.bytes)), len(r.violations),
		time.Since(r.created).Round(time.Second))
	for _, table := range []struct {
		title  string
		counts map[string]int
	}{{"faults", r.faults}, {"events", r.counts}} {
		for _, kind := range slices.Sorted(maps.Keys(table.counts)) {
			fmt.Printf("  %-8s %5d  %s\n", table.title, table.counts[kind], kind)
		}
	}
}
