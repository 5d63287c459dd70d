// Package measure holds what a benchmark needs around the thing that it measures: the memory and
// processor time of processes, statistics over repeated runs, a description of the machine, and
// tables in Markdown.
//
// Functions that ask the kernel return zero where there is no /proc, and tables show zero as unknown.
package measure

import (
	"fmt"
	"os"
	"time"

	"github.com/prometheus/procfs"
)

// PeakMemory returns the largest amount of memory, in bytes, that the process has had resident since
// it started or since ResetPeak.
func PeakMemory(pid int) int64 { return int64(status(pid).VmHWM) }

// ResidentMemory returns how many bytes of the process are in RAM now.
func ResidentMemory(pid int) int64 { return int64(status(pid).VmRSS) }

// UsesHugePages reports whether the process has memory in huge pages.
func UsesHugePages(pid int) bool { return status(pid).HugetlbPages > 0 }

func status(pid int) procfs.ProcStatus {
	process, err := procfs.NewProc(pid)
	if err != nil {
		return procfs.ProcStatus{}
	}
	status, err := process.NewStatus()
	if err != nil {
		return procfs.ProcStatus{} // it ended meanwhile
	}
	return status
}

// ResetPeak makes what the process has resident now its new peak, and reports whether the kernel
// allowed that.
func ResetPeak(pid int) bool {
	// "5" resets the peak: see proc_pid_clear_refs(5).
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0) == nil
}

// WatchPeak follows the peak of a process that may end before stop is called. It looks every 10 ms
// because the kernel forgets the number when the process ends. (The ru_maxrss that Wait reports starts
// at the parent's memory, so it is useless for a process smaller than its parent.)
func WatchPeak(pid int) (stop func() int64) {
	done, result := make(chan struct{}), make(chan int64)
	go func() {
		var peak int64
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				peak = max(peak, PeakMemory(pid))
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

// CPUTime returns the processor time that the process has used, without its children.
func CPUTime(pid int) time.Duration {
	stat := statOf(pid)
	return ticks(stat.UTime + stat.STime)
}

// CPUTimeWithChildren returns the processor time of the process and of its children, both those that
// have ended and those that still run. For a Postgres postmaster this is the whole server.
func CPUTimeWithChildren(pid int) time.Duration {
	parent := statOf(pid)
	total := ticks(parent.UTime + parent.STime + uint(parent.CUTime+parent.CSTime))
	processes, err := procfs.AllProcs()
	if err != nil {
		return total
	}
	for _, process := range processes {
		if stat, err := process.Stat(); err == nil && stat.PPID == pid {
			total += ticks(stat.UTime + stat.STime)
		}
	}
	return total
}

func statOf(pid int) procfs.ProcStat {
	process, err := procfs.NewProc(pid)
	if err != nil {
		return procfs.ProcStat{}
	}
	stat, err := process.Stat()
	if err != nil {
		return procfs.ProcStat{} // it ended meanwhile
	}
	return stat
}

// ticks converts clock ticks, the unit of processor times in /proc. A second has 100 on every
// architecture that Go runs on.
func ticks(n uint) time.Duration { return time.Duration(n) * (time.Second / 100) }
