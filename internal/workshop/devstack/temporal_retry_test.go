package devstack

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// lostPort and noPort are shell scripts that print and exit as the dev server does when it cannot
// get a port. In lostPort, the server has picked a port for one of its parts and another program
// took it. The server then logs the reason, continues without the listener, and panics. In noPort,
// no port is free.
const (
	lostPort = `echo 'time=2026-01-01T00:00:00.000 level=ERROR msg="Failed to start gRPC listener" error="listen tcp 127.0.0.1:4711: bind: address already in use" service=history'
echo 'panic: runtime error: invalid memory address or nil pointer dereference'
` + dump
	noPort = `echo 'panic: failed assigning ephemeral port: failed to assign a free port: listen tcp 127.0.0.1:0: bind: address already in use'
` + dump
	dump = `for i in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19; do echo "goroutine $i [running]:"; done
exit 2
`
)

// wrapTemporal puts a script named temporal on PATH. The script counts its starts in the returned file,
// and can run the real CLI as "$real".
func wrapTemporal(t *testing.T, script string) (starts string) {
	t.Helper()
	program, err := temporalFinder{log: t.Logf}.find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir := stackDir(t)
	starts = filepath.Join(dir, "starts")
	text := "#!/bin/sh\nreal='" + program.path + "'\n" +
		"if [ \"$1\" = --version ]; then exec \"$real\" --version; fi\n" +
		"echo started >>'" + starts + "'\n" + strings.ReplaceAll(script, "$starts", starts)
	if err := os.WriteFile(filepath.Join(dir, "temporal"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return starts
}

func countStarts(t *testing.T, starts string) int {
	t.Helper()
	text, err := os.ReadFile(starts)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(text), "started\n")
}

func TestTemporalStartsAgainWhenAnotherProgramTookAPort(t *testing.T) {
	for name, crash := range map[string]string{"after it was picked": lostPort, "so that none is free": noPort} {
		t.Run(name, func(t *testing.T) {
			starts := wrapTemporal(t, "if [ $(wc -l <'$starts') -ge 2 ]; then exec \"$real\" \"$@\"; fi\n"+crash)
			startTemporal(t, TemporalOptions{Dir: stackDir(t), InMemory: true, Headless: true})
			if n := countStarts(t, starts); n != 2 {
				t.Errorf("there were %d starts", n)
			}
		})
	}
}

func TestTemporalSaysWhyItDoesNotStart(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		starts int
		want   []string
	}{
		"a port is always taken": {lostPort, startAttempts, []string{"exit status 2", "Failed to start gRPC listener", "address already in use", "panic: runtime error"}},
		"another reason":         {"echo 'Error: unknown flag'; exit 1\n", 1, []string{"exit status 1", "Error: unknown flag"}},
	} {
		t.Run(name, func(t *testing.T) {
			starts := wrapTemporal(t, c.script)
			_, err := StartTemporal(t.Context(), TemporalOptions{Dir: stackDir(t), InMemory: true, Headless: true, Log: t.Logf})
			wantError(t, err, c.want...)
			if n := countStarts(t, starts); n != c.starts {
				t.Errorf("there were %d starts, want %d", n, c.starts)
			}
		})
	}
}
