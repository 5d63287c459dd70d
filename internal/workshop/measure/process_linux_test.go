package measure_test

import (
	"net"
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

func TestTheKernelTellsTheSocketsOfAServer(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	client, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	_, _ = server.Write(make([]byte, 64<<20)) // this fails at the deadline, when the kernel's buffers are full
	if got := measure.SocketsOf(port); got.Open != 1 || got.Closed != 0 || got.Unread == 0 {
		t.Errorf("%+v, want one that is open and holds bytes", got)
	}
	server.Close()
	if got := measure.SocketsOf(port); got.Open != 0 || got.Closed != 1 {
		t.Errorf("%+v, want one that is closed", got)
	}
}
