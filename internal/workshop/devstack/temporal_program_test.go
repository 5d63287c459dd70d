package devstack

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// goodTemporal and oldTemporal are scripts that stand in for the CLI.
	goodTemporal = "#!/bin/sh\necho 'temporal version 1.8.2 (Server 1.31.2, UI 2.50.1)'\n"
	oldTemporal  = "#!/bin/sh\necho 'temporal version 1.1.0 (Server 1.25.2, UI 2.30.0)'\n"
	// temporalSource stands in for the CLI's source, because the CLI takes minutes to build.
	temporalSource = "package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(\"temporal version 0.0.0 (Server 1.31.9, UI 2.0.0)\") }\n"
	unreachable    = "http://127.0.0.1:1" // no server listens at this address
)

// noted collects log lines.
type noted struct {
	mu    sync.Mutex
	lines []string
}

func (n *noted) log(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, fmt.Sprintf(format, args...))
}

func (n *noted) count(part string) (lines int) {
	for _, line := range n.lines {
		if strings.Contains(line, part) {
			lines++
		}
	}
	return lines
}

// withoutTemporalOnPath sets PATH to a new folder, the folder of the go command and the system's
// folders, and makes the cache empty. It returns the new folder, in which a test can put a program
// that stands in for the CLI.
func withoutTemporalOnPath(t *testing.T) (onPath string) {
	t.Helper()
	goCommand, err := exec.LookPath("go")
	if err != nil {
		goCommand = "/usr/local/go/bin/go" // only the tests that build a program need the go command
	}
	out, err := exec.Command(goCommand, "env", "GOCACHE").Output()
	if err == nil {
		t.Setenv("GOCACHE", strings.TrimSpace(string(out))) // keep the build cache, although XDG_CACHE_HOME changes below
	}
	onPath = t.TempDir()
	t.Setenv("PATH", strings.Join([]string{onPath, filepath.Dir(goCommand), "/usr/bin", "/bin"}, ":"))
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	return onPath
}

// enterCheckout creates a checkout and makes it the working directory. mainFile is the source of
// the program in the checkout's folder tools/temporal.
func enterCheckout(t *testing.T, mainFile string) (source string) {
	t.Helper()
	checkout := t.TempDir()
	source = filepath.Join(checkout, "tools", "temporal")
	for path, text := range map[string]string{
		"go.mod":                              "module memexport\n",
		"tools/temporal/go.mod":               "module github.com/temporalio/cli\n\ngo 1.26\n",
		"tools/temporal/go.sum":               "",
		"tools/temporal/cmd/temporal/main.go": mainFile,
	} {
		path = filepath.Join(checkout, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(checkout)
	return source
}

func TestARecentTemporalOnPathIsUsed(t *testing.T) {
	program := filepath.Join(withoutTemporalOnPath(t), "temporal")
	if err := os.WriteFile(program, []byte(goodTemporal), 0o755); err != nil {
		t.Fatal(err)
	}
	var said noted
	found, err := temporalFinder{archives: unreachable, log: said.log}.find(t.Context())
	if err != nil || found != (temporalProgram{path: program, version: "1.31.2"}) {
		t.Errorf("found %v, %v", found, err)
	}
	if said.count("found on PATH") != 1 {
		t.Errorf("it said %q", said.lines)
	}
}

func TestAnOldTemporalOnPathIsNotUsed(t *testing.T) {
	program := filepath.Join(withoutTemporalOnPath(t), "temporal")
	if err := os.WriteFile(program, []byte(oldTemporal), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir()) // outside the checkout
	var said noted
	_, err := temporalFinder{archives: unreachable, log: said.log}.find(t.Context())
	wantError(t, err, "connection refused", "not in a checkout of memexport", "https://docs.temporal.io/cli", "run from a checkout")
	if said.count("it has server 1.25.2, and 1.31 or newer is needed") != 1 {
		t.Errorf("it said %q", said.lines)
	}
}

func TestTemporalIsDownloadedOnce(t *testing.T) {
	withoutTemporalOnPath(t)
	packed := packTemporal(t, "temporal", goodTemporal)
	requests := 0
	url := archiveServer(t, func(w http.ResponseWriter, r *http.Request) {
		requests++
		platform := runtime.GOOS + "_" + runtime.GOARCH
		if want := "/v" + temporalRelease + "/temporal_cli_" + temporalRelease + "_" + platform + ".tar.gz"; r.URL.Path != want {
			t.Errorf("the path is %s, want %s", r.URL.Path, want)
		}
		_, _ = w.Write(packed)
	})
	t.Setenv(archivesVariable, url+"/")
	for _, place := range []string{"outside of a checkout", "in a checkout"} {
		var said noted
		for range 2 {
			finder := temporalFinder{log: said.log, sums: sumsOf(packed)}
			found, err := finder.find(t.Context())
			if err != nil || found.version != "1.31.2" {
				t.Fatalf("%s: %v, %v", place, found, err)
			}
		}
		if said.count("downloading the official Temporal CLI 1.8.2: "+url) != 1 || said.count(", downloaded in ") != 1 || said.count("from the cache") != 1 {
			t.Errorf("%s it said %q", place, said.lines)
		}
		enterCheckout(t, temporalSource)
	}
	if requests != 2 {
		t.Errorf("there were %d requests", requests)
	}
}

func TestTemporalIsBuiltOnceWhereItCannotBeDownloaded(t *testing.T) {
	withoutTemporalOnPath(t)
	enterCheckout(t, temporalSource)
	var said noted
	var builders sync.WaitGroup
	for range 3 {
		builders.Go(func() {
			found, err := temporalFinder{archives: unreachable, log: said.log}.find(t.Context())
			if err != nil || found.version != "1.31.9" {
				t.Errorf("found %v, %v", found, err)
			}
		})
	}
	builders.Wait()
	if said.count("the release archive cannot be had") != 1 || said.count("connection refused): building from source") != 1 || said.count(", built from source") != 1 {
		t.Errorf("it said %q", said.lines)
	}
}

func TestAnArchiveWithAnotherChecksumIsNotRunAndTheSourceIsBuilt(t *testing.T) {
	withoutTemporalOnPath(t)
	enterCheckout(t, temporalSource)
	trap := filepath.Join(t.TempDir(), "it ran")
	packed := packTemporal(t, "temporal", goodTemporal+"touch '"+trap+"'\n")
	url := archiveServer(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(packed) })
	var said noted
	found, err := temporalFinder{archives: url, log: said.log}.find(t.Context())
	if err != nil || found.version != "1.31.9" || said.count("its SHA-256 is") != 1 {
		t.Errorf("found %v, %v; it said %q", found, err, said.lines)
	}
	if _, err := os.Stat(trap); err == nil {
		t.Error("it was run")
	}
}

func TestAFailedBuildShowsWhatGoSays(t *testing.T) {
	withoutTemporalOnPath(t)
	source := enterCheckout(t, "package main\n\nfunc main() { undefinedName() }\n")
	_, err := temporalFinder{archives: unreachable, log: t.Logf}.find(t.Context())
	wantError(t, err, "build temporal", source, "undefinedName")
}

func TestGettingTemporalEndsWithItsContext(t *testing.T) {
	withoutTemporalOnPath(t)
	enterCheckout(t, temporalSource)
	url := archiveServer(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(50*time.Millisecond, func() { cancel(errors.New("enough")) })
	_, err := temporalFinder{archives: url, log: t.Logf}.find(ctx)
	wantError(t, err, "enough")
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

func TestTheDownloadedReleaseIsTheOneThatIsBuilt(t *testing.T) {
	source, err := findSource("temporal")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(source, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "\tgithub.com/temporalio/cli v" + temporalRelease; !strings.Contains(string(mod), want) {
		t.Errorf("tools/temporal/go.mod does not have the line %q", want)
	}
}
