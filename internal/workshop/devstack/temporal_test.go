package devstack

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/sdk/client"
)

func TestTemporalKeepsItsStateWhenItIsKilled(t *testing.T) {
	dir := stackDir(t)
	first := startTemporal(t, TemporalOptions{Dir: dir, SearchAttributes: map[string]string{"Color": "Keyword"}})
	_, err := dial(t, first).ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "kept", TaskQueue: "nobody"}, "Nothing")
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(first.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-first.Done()
	wantError(t, first.Err(), "temporal stopped unexpectedly", "killed", first.LogFile)

	second := startTemporal(t, TemporalOptions{Dir: dir, Headless: true,
		SearchAttributes: map[string]string{"Color": "Keyword", "Size": "Int"}})
	if second.Address != first.Address {
		t.Errorf("the address was %s and is %s", first.Address, second.Address)
	}
	c := dial(t, second)
	found, err := c.DescribeWorkflowExecution(t.Context(), "kept", "")
	if err != nil {
		t.Fatal("the workflow is lost:", err)
	}
	if status := found.GetWorkflowExecutionInfo().GetStatus(); status != enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
		t.Error("the workflow is", status)
	}
	attributes, err := c.OperatorService().ListSearchAttributes(t.Context(), &operatorservice.ListSearchAttributesRequest{Namespace: "default"})
	if err != nil {
		t.Fatal(err)
	}
	custom := attributes.GetCustomAttributes()
	if custom["Color"] != enums.INDEXED_VALUE_TYPE_KEYWORD || custom["Size"] != enums.INDEXED_VALUE_TYPE_INT {
		t.Error("the search attributes are", custom)
	}
	if err := second.Stop(); err != nil {
		t.Error(err)
	}
	if err := second.Err(); err != nil {
		t.Error("a stop that was asked for is no error:", err)
	}
	_, err = StartTemporal(t.Context(), TemporalOptions{Dir: dir, Headless: true, SearchAttributes: map[string]string{"Size": "Keyword"}})
	wantError(t, err, "Size is Int and should be Keyword", "delete the temporal-*.db")
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
		t.Error("state in memory left", files)
	}
}

func TestTemporalNamesATakenPort(t *testing.T) {
	dir, port := stackDir(t), takePort(t)
	_, err := StartTemporal(t.Context(), TemporalOptions{Dir: dir, InMemory: true, Port: port})
	wantError(t, err, strconv.Itoa(port), "in use", "--temporal-port")
	_, err = StartTemporal(t.Context(), TemporalOptions{Dir: dir, InMemory: true, UIPort: port})
	wantError(t, err, strconv.Itoa(port), "in use", "--ui-port")
	free, err := portRequest{of: "a test"}.pick(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = StartTemporal(t.Context(), TemporalOptions{Dir: dir, InMemory: true, Port: free, UIPort: free})
	wantError(t, err, "another part of the stack", "--ui-port")
}

func TestTemporalRefusesAnUnknownAttributeType(t *testing.T) {
	_, err := StartTemporal(t.Context(), TemporalOptions{Dir: stackDir(t), SearchAttributes: map[string]string{"Color": "Colour"}})
	wantError(t, err, "Color", `"Colour"`, "Keyword")
}

func TestAnOldTemporalOnPathIsNotUsed(t *testing.T) {
	dir := t.TempDir()
	script := "#!/bin/sh\necho 'temporal version 1.1.0 (Server 1.25.2, UI 2.30.0)'\n"
	if err := os.WriteFile(filepath.Join(dir, "temporal"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	t.Chdir(dir) // outside of the checkout, so that there is no other
	var told []string
	_, err := findTemporal(t.Context(), func(format string, args ...any) { told = append(told, fmt.Sprintf(format, args...)) })
	wantError(t, err, "not in a checkout of memexport", "install the Temporal CLI", "run from a checkout")
	if said := strings.Join(told, "\n"); !strings.Contains(said, "1.25.2") || !strings.Contains(said, "1.31 or newer") {
		t.Errorf("the log says %q", said)
	}
}

func TestTemporalVersionsAreCompared(t *testing.T) {
	for version, want := range map[string]bool{
		"1.30.9": false, "1.31.0": true, "1.31.2-rc.1": true, "1.100.0": true, "2.0.0": true, "0.99.0": false, "x": false,
	} {
		if got := recentTemporal(version); got != want {
			t.Errorf("%s: recent enough is %v", version, got)
		}
	}
}

// A small program with the same path stands for the CLI, whose build takes minutes.
func TestTemporalIsBuiltOnceHoweverManyNeedIt(t *testing.T) {
	source := fakeSource(t, "package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(\"(Server 1.31.9, UI 2.0.0)\") }\n")
	var mu sync.Mutex
	var told []string
	log := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, fmt.Sprintf(format, args...))
	}
	var builders sync.WaitGroup
	for range 3 {
		builders.Go(func() {
			path, err := buildTemporal(t.Context(), source, log)
			if err != nil {
				t.Error(err)
				return
			}
			if version, err := temporalVersion(t.Context(), path); err != nil || version != "1.31.9" {
				t.Errorf("version %q, %v", version, err)
			}
		})
	}
	builders.Wait()
	built := slices.DeleteFunc(told, func(line string) bool { return !strings.Contains(line, "about 5 minutes") })
	if len(built) != 1 {
		t.Errorf("it was built %d times", len(built))
	}
}

func TestAFailedBuildShowsWhatGoSays(t *testing.T) {
	source := fakeSource(t, "package main\n\nfunc main() { undefinedName() }\n")
	_, err := buildTemporal(t.Context(), source, t.Logf)
	wantError(t, err, "build the Temporal CLI", source, "undefinedName")
}

func TestABuildEndsWithItsContext(t *testing.T) {
	source := fakeSource(t, "package main\n\nfunc main() {}\n")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(fmt.Errorf("enough"))
	_, err := buildTemporal(ctx, source, t.Logf)
	wantError(t, err, "enough")
}

// fakeSource is a module in which the package of the CLI is the given file, with a cache of its own.
func fakeSource(t *testing.T, mainFile string) string {
	t.Helper()
	source := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":               "module github.com/temporalio/cli\n\ngo 1.26\n",
		"go.sum":               "",
		"cmd/temporal/main.go": mainFile,
	} {
		path := filepath.Join(source, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	keepGoCache(t)
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	return source
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
