package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// machine says what the results were measured on, without which they say nothing.
func (s *stack) machine(ctx context.Context) string {
	var version string
	if err := s.db.GetContext(ctx, &version, `SHOW server_version`); err != nil {
		version = s.postgres.Version
	}
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "- %s: %s\n", name, value)
		}
	}
	b.WriteString("# memexport benchmark\n\n")
	line("Date", time.Now().UTC().Format("2006-01-02 15:04 MST"))
	line("Machine", fmt.Sprintf("%d cores (%s), %s GiB of memory, %s/%s", runtime.NumCPU(), field("/proc/cpuinfo", "model name"),
		totalMemory(), runtime.GOOS, runtime.GOARCH))
	line("Load average before", s.loadBefore)
	buffers := s.buffers
	if inHugePages(s.postgres.PID) { // where the machine has enough in reserve (vm.nr_hugepages)
		buffers += " in huge pages"
	}
	line("Software", fmt.Sprintf("%s, PostgreSQL %s with shared_buffers of %s, Temporal %s", runtime.Version(), version, buffers, s.temporal.Version))
	var set []string
	for _, name := range passedOn {
		if value := os.Getenv(name); value != "" && name != "PATH" && name != "TMPDIR" {
			set = append(set, name+"="+value)
		}
	}
	line("Settings that are not the defaults", strings.Join(set, " "))
	line("Rounds", fmt.Sprintf("%d; ratios are the median of those of each round, with the least and the greatest", s.rounds))
	return b.String()
}

// totalMemory is the machine's memory in GiB.
func totalMemory() string {
	total := memoryField("/proc/meminfo", "MemTotal")
	if total == 0 {
		return "an unknown number of"
	}
	return fmt.Sprintf("%.0f", float64(total)/(1<<30))
}

// loadAverage shows whether others use the machine, too.
func loadAverage() string {
	data, err := os.ReadFile("/proc/loadavg")
	if fields := strings.Fields(string(data)); err == nil && len(fields) > 3 {
		return strings.Join(fields[:3], " ")
	}
	return ""
}
