package measure_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"memexport/internal/workshop/measure"
)

func TestTheKernelTellsMemoryAndProcessorTime(t *testing.T) {
	pid := os.Getpid()
	for busy := time.Now(); measure.CPUTime(pid) == 0; {
		if time.Since(busy) > time.Minute {
			t.Fatal("this process seems to use no processor time")
		}
	}
	own := measure.CPUTime(pid)
	if all := measure.CPUTimeWithChildren(pid); all < own {
		t.Errorf("%s with children, %s without", all, own)
	}
	resident, peak := measure.ResidentMemory(pid), measure.PeakMemory(pid)
	if resident < 1<<20 || peak < 1<<20 {
		t.Errorf("%d bytes are resident, the peak is %d", resident, peak)
	}
	watched := measure.WatchPeak(pid)
	time.Sleep(50 * time.Millisecond) // enough for a few readings, since WatchPeak reads every 10 ms
	if got := watched(); got < 1<<20 {
		t.Errorf("the watched peak is %d", got)
	}
	if total := measure.TotalMemory(); total < peak {
		t.Errorf("the machine has %d bytes", total)
	}
	if load := measure.LoadAverage(); len(strings.Fields(load)) != 3 {
		t.Errorf("the load average is %q", load)
	}
	const nobody = 1 << 30 // greater than any process number
	if measure.PeakMemory(nobody) != 0 || measure.CPUTime(nobody) != 0 || measure.ResetPeak(nobody) {
		t.Error("something is known about a process that does not exist")
	}
}
