package devstack

import (
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
)

func TestTemporalKeepsItsStateWhenItIsKilled(t *testing.T) {
	dir := stackDir(t)
	first := startTemporal(t, TemporalOptions{Dir: dir})
	_, err := dial(t, first).ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "kept", TaskQueue: "nobody"}, "Nothing")
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(first.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-first.Done()
	wantError(t, first.Err(), "temporal stopped unexpectedly", "killed", first.LogFile)

	second := startTemporal(t, TemporalOptions{Dir: dir, Headless: true})
	if second.Address != first.Address && tryListen(portOf(t, first.Address)) == nil { // the port is free, so the second start should have used it
		t.Errorf("the address was %s and is %s", first.Address, second.Address)
	}
	found, err := dial(t, second).DescribeWorkflowExecution(t.Context(), "kept", "")
	if err != nil {
		t.Fatal("the workflow is lost:", err)
	}
	if status := found.GetWorkflowExecutionInfo().GetStatus(); status != enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
		t.Error("the workflow is", status)
	}
	if err := second.Stop(); err != nil {
		t.Error(err)
	}
	if err := second.Err(); err != nil {
		t.Error("Err reports a server that Stop ended:", err)
	}
}

func TestTemporalHasAUserInterfaceUnlessHeadless(t *testing.T) {
	dir := stackDir(t)
	shown := startTemporal(t, TemporalOptions{Dir: dir, InMemory: true})
	answer, err := http.Get(shown.UIURL)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Error("the UI answers", answer.Status)
	}
	if err := shown.Stop(); err != nil {
		t.Fatal(err)
	}
	headless := startTemporal(t, TemporalOptions{Dir: dir, InMemory: true, Headless: true})
	if headless.UIURL != "" {
		t.Error("a headless server has no UI, but", headless.UIURL)
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*.db*")); len(files) > 0 {
		t.Error("a server with its state in memory left files:", files)
	}
}

func TestTemporalNamesATakenPort(t *testing.T) {
	dir, port := stackDir(t), takePort(t)
	_, err := StartTemporal(t.Context(), TemporalOptions{Dir: dir, InMemory: true, Port: port})
	wantError(t, err, strconv.Itoa(port), "in use", "--temporal-port")
	_, err = StartTemporal(t.Context(), TemporalOptions{Dir: dir, InMemory: true, UIPort: port})
	wantError(t, err, strconv.Itoa(port), "in use", "--ui-port")
	free, err := portRequest{server: "a test"}.pick(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = StartTemporal(t.Context(), TemporalOptions{Dir: dir, InMemory: true, Port: free, UIPort: free})
	wantError(t, err, "another part of the stack", "--ui-port")
}

func portOf(t *testing.T, address string) int {
	t.Helper()
	_, text, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func dial(t *testing.T, s *Temporal) client.Client {
	t.Helper()
	c, err := client.DialContext(t.Context(), client.Options{HostPort: s.Address})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}
