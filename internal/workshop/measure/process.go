// Package measure contains what a benchmark needs to measure and to show results: the memory and
// processor time of processes, statistics over repeated runs, a description of the machine, and
// tables in Markdown.
//
// Functions that read /proc return zero on systems without /proc. Tables show zero as unknown.
package measure

import (
	"fmt"
	"os"
	"time"

	"github.com/prometheus/procfs"
)

// PeakMemory returns the peak resident memory of the process in bytes, since the process started or
// since ResetPeak.
func PeakMemory(pid int) int64 { return int64(status(pid).VmHWM) }

// ResidentMemory returns the current resident memory of the process in bytes.
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
		return procfs.ProcStatus{} // the process has ended
	}
	return status
}

// ResetPeak resets the process's peak memory to its current resident memory. It reports whether the
// kernel allowed that.
func ResetPeak(pid int) bool {
	// "5" resets the peak: see proc_pid_clear_refs(5).
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0) == nil
}

// WatchPeak watches the peak memory of a process until the caller calls stop, which returns the
// peak. The process may end earlier. WatchPeak reads the peak every 10 ms, because the kernel
// forgets it when the process ends. Wait also reports a peak, ru_maxrss, but that value starts at
// the memory of the parent, so it is useless for a process smaller than its parent.
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

// CPUTime returns the processor time that the process has used. It does not include its children.
func CPUTime(pid int) time.Duration {
	stat := statOf(pid)
	return ticks(stat.UTime + stat.STime)
}

// CPUTimeWithChildren returns the processor time that the process and its children have used,
// including children that have ended. For a Postgres postmaster, this is the time of the whole
// server.
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
		return procfs.ProcStat{} // the process has ended
	}
	return stat
}

// ticks converts clock ticks, the unit of processor times in /proc. There are 100 ticks per second
// on every architecture that Go supports.
func ticks(n uint) time.Duration { return time.Duration(n) * (time.Second / 100) }
