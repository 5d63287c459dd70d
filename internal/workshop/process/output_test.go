package process

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// numbered returns n different lines that look like a goroutine dump.
func numbered(n int) []string {
	var lines []string
	for i := range n {
		lines = append(lines, fmt.Sprintf("\tmain.go:%d +0x1d", i))
	}
	return lines
}

func TestAnExcerptShowsWhyAGoProgramDied(t *testing.T) {
	reason := `time=2026 level=ERROR msg="Failed to start gRPC listener" error="listen tcp 127.0.0.1:4711: bind: address already in use"`
	crash := "panic: runtime error: invalid memory address or nil pointer dereference"
	lines := slices.Concat([]string{"starting", reason, "level=ERROR msg=another", crash}, numbered(100))
	want := slices.Concat([]string{"...", reason, "...", crash, "..."}, lines[len(lines)-tailLines:])
	if got := strings.Split(Excerpt(strings.Join(lines, "\n")), "\n"); !slices.Equal(got, want) {
		t.Errorf("the excerpt is %q", got)
	}
}

func TestAnExcerptFindsTheFatalLineOfManyPrograms(t *testing.T) {
	for _, fatal := range []string{
		"panic: listen tcp: address already in use",
		"fatal error: all goroutines are asleep - deadlock!",
		"runtime: failed to create new OS thread (have 5 already; errno=11)",
		`2026-01-01 10:00:00 UTC [7] FATAL:  could not create lock file "postmaster.pid"`,
		"Error: failed starting server",
		"initdb: error: ERROR: no space left",
		`{"level":"fatal","msg":"no config"}`,
		`time=2026 level=fatal msg="no config"`,
	} {
		output := strings.Join(append([]string{fatal}, numbered(50)...), "\n")
		if got := Excerpt(output); !strings.HasPrefix(got, fatal+"\n...\n") {
			t.Errorf("the excerpt is %q", got)
		}
	}
}

func TestAnExcerptOfAShortOutputIsAllOfIt(t *testing.T) {
	for output, want := range map[string]string{
		"":                    "(it wrote nothing)",
		"\n \n":               "(it wrote nothing)",
		"one\npanic: two\n":   "one\npanic: two",
		" errors are errors ": "errors are errors",
	} {
		if got := Excerpt(output); got != want {
			t.Errorf("the excerpt of %q is %q", output, got)
		}
	}
}
