package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// What the kernel tells of a process. Where there is no /proc the answer is zero, which tables show
// as unknown.

// peakMemory is the most memory in bytes that the process has had resident since it began, or since
// resetPeak.
func peakMemory(pid int) int64 { return memoryField(statusOf(pid), "VmHWM") }

// inHugePages reports whether the process has memory in huge pages.
func inHugePages(pid int) bool { return memoryField(statusOf(pid), "HugetlbPages") > 0 }

func statusOf(pid int) string { return fmt.Sprintf("/proc/%d/status", pid) }

// memoryField is the first value of that name in a file of /proc, which has it in kB, as bytes.
func memoryField(path, name string) int64 {
	kib, _ := strconv.ParseInt(strings.TrimSuffix(field(path, name), " kB"), 10, 64)
	return kib << 10
}

// field is the first value of that name in a file of /proc.
func field(path, name string) string {
	data, _ := os.ReadFile(path)
	for line := range strings.Lines(string(data)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// resetPeak makes what is resident now the peak, and reports whether the kernel let it.
func resetPeak(pid int) bool {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0) == nil
}

// watchPeak follows the peak of a process that ends by itself, which takes the number along. (The
// ru_maxrss of a child begins with what its parent had, so that it says nothing of a small one.)
func watchPeak(pid int) (stop func() int64) {
	done, result := make(chan struct{}), make(chan int64)
	go func() {
		var peak int64
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				peak = max(peak, peakMemory(pid))
			case <-done:
				result <- peak
				return
			}
		}
	}()
	return func() int64 {
		close(done)
		return <-result
	}
}

// clockTick is the unit of times in /proc on every architecture that Go runs on.
const clockTick = time.Second / 100

// cpuTime is the processor time that the process has used. With its children it is also that of the
// ones which have ended and of the ones which run: for Postgres, that of the whole server.
func cpuTime(pid int, withChildren bool) time.Duration {
	total, ended, _ := processTimes(pid)
	if !withChildren {
		return total
	}
	total += ended
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // errs on a bad pattern only
	for _, stat := range stats {
		child, err := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
		if err != nil {
			continue
		}
		if own, _, parent := processTimes(child); parent == pid {
			total += own
		}
	}
	return total
}

// processTimes reads /proc/PID/stat: the process's own time, that of its children which have ended,
// and its parent.
func processTimes(pid int) (own, ended time.Duration, parent int) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, 0
	}
	// The name, in parentheses, may have anything in it.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 15 {
		return 0, 0, 0
	}
	ticks := func(i int) time.Duration {
		n, _ := strconv.ParseInt(fields[i], 10, 64)
		return time.Duration(n) * clockTick
	}
	parent, _ = strconv.Atoi(fields[1])
	return ticks(11) + ticks(12), ticks(13) + ticks(14), parent
}
