//go:build unix

package pgtest

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// Freeze stops every process of the Postgres server, so that it hangs: the kernel still accepts connections
// and data, but nothing answers. The processes continue when thaw is called, when the test ends, and when the
// process of the test ends.
//
// All tests of this process share the server, so a test that calls Freeze must not run in parallel.
func Freeze(tb testing.TB) (thaw func()) {
	tb.Helper()
	if server.pid == 0 {
		tb.Fatal("pgtest: no Postgres runs: call pgtest.Main in TestMain of this package")
	}
	return FreezeServer(tb, server.pid)
}

// FreezeServer is like Freeze, for the server with the given postmaster.
func FreezeServer(tb testing.TB, postmaster int) (thaw func()) {
	tb.Helper()
	// The postmaster stops first, so that it starts no further child.
	if err := syscall.Kill(postmaster, syscall.SIGSTOP); err != nil {
		tb.Fatal("pgtest: stop the postmaster:", err)
	}
	pids, err := family(postmaster)
	if err != nil {
		_ = syscall.Kill(postmaster, syscall.SIGCONT) // only the earlier error, err, is reported
		tb.Fatal("pgtest: list the processes of Postgres:", err)
	}
	// The shell continues the stopped processes when its standard input is closed. The kernel closes the input
	// when this process ends, so that no process stays stopped forever.
	guard := exec.Command("sh", append([]string{"-c", `read -r line; kill -CONT "$@"`, "sh"}, pids...)...)
	input, err := guard.StdinPipe()
	if err == nil {
		err = guard.Start()
	}
	if err != nil {
		_ = syscall.Kill(postmaster, syscall.SIGCONT) // only the earlier error, err, is reported
		tb.Fatal("pgtest: guard the stopped processes:", err)
	}
	thaw = sync.OnceFunc(func() {
		input.Close()
		_ = guard.Wait() // kill fails if one of the processes has ended
	})
	tb.Cleanup(thaw)
	for _, text := range pids {
		pid, _ := strconv.Atoi(text)           // family returns numbers
		_ = syscall.Kill(pid, syscall.SIGSTOP) // fails only if the process has just ended
	}
	return thaw
}

// family returns the process numbers of a process and its children.
func family(parent int) ([]string, error) {
	all, err := exec.Command("ps", "-A", "-o", "pid=,ppid=").Output()
	if err != nil {
		return nil, err
	}
	found := []string{strconv.Itoa(parent)}
	for line := range strings.Lines(string(all)) {
		var pid, ppid int
		if _, err := fmt.Sscan(line, &pid, &ppid); err == nil && ppid == parent {
			found = append(found, strconv.Itoa(pid))
		}
	}
	return found, nil
}
