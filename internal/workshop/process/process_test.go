//go:build unix

package process

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"memexport/internal/workshop/await"
)

var linePattern = regexp.MustCompile(`(?m)^(.+)\n`)

func shell(script string) *exec.Cmd { return exec.Command("/bin/sh", "-c", script) }

func TestAChildDiesWithItsParent(t *testing.T) {
	for _, role := range []string{"bound", "watchdog"} {
		t.Run(role, func(t *testing.T) {
			parent, child := startParent(t, role)
			if Ended(child) {
				t.Fatal("the child ended too early")
			}
			parent.Kill()
			await.True(t, patience, "the child is gone", func() bool { return Ended(child) })
		})
	}
}

func TestCtrlCDoesNotReachAChild(t *testing.T) {
	p, err := Start(exec.Command("sleep", "600"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	if group, err := syscall.Getpgid(p.PID()); err != nil || group != p.PID() {
		t.Errorf("process %d is in the group %d: %v", p.PID(), group, err)
	}
}

func TestAReleasedWatchdogLeavesTheProcessAlone(t *testing.T) {
	child := exec.Command("cat")
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	release, err := startWatchdog(child.Process.Pid, syscall.SIGKILL)
	if err != nil {
		t.Fatal(err)
	}
	release() // returns when the watchdog has ended
	in.Close()
	if err := child.Wait(); err != nil {
		t.Error("the child did not end by itself:", err)
	}
}

func TestStopLetsAChildFinish(t *testing.T) {
	var out Buffer
	cmd := shell(`trap 'echo goodbye; exit 0' INT; echo ready; while :; do sleep 0.01; done`)
	cmd.Stdout = &out
	p, err := Start(cmd, Options{StopSignal: syscall.SIGINT})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.WaitOutput(t.Context(), regexp.MustCompile("ready")); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second Stop does nothing
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	}
	if code := p.ExitCode(); code != 0 || p.Err() != nil || out.String() != "ready\ngoodbye\n" {
		t.Errorf("exit code %d, %v, output %q", code, p.Err(), out.String())
	}
}

func TestAChildThatDoesNotStopIsKilled(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	p, err := Start(shell(`trap '' TERM; echo I stay; while :; do sleep 0.01; done`), Options{Name: "stubborn", Log: log, Grace: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.WaitOutput(t.Context(), regexp.MustCompile("stay")); err != nil {
		t.Fatal(err)
	}
	wantError(t, p.Stop(), "stubborn did not stop within 50ms and was killed", log, "I stay")
	if code := p.ExitCode(); code != -1 || !Ended(p.PID()) {
		t.Errorf("exit code %d", code)
	}
}

func TestErrShowsWhatThisRunWrote(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	for _, words := range []string{"first run", "second run"} {
		p, err := Start(shell("echo "+words+"; exit 3"), Options{Name: "server", Log: log})
		if err != nil {
			t.Fatal(err)
		}
		<-p.Done()
		wantError(t, p.Err(), "server stopped unexpectedly (exit status 3)", log, words)
		if words == "second run" && strings.Contains(p.Err().Error(), "first run") {
			t.Error("the error shows an earlier run:", p.Err())
		}
	}
	if text, err := os.ReadFile(log); err != nil || string(text) != "first run\nsecond run\n" {
		t.Errorf("the log is %q, %v", text, err)
	}
}

func TestALargeLogIsPutAside(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(log, make([]byte, maxLogSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := Start(shell("echo new"), Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	if old, err := os.Stat(log + ".old"); err != nil || old.Size() != maxLogSize+1 || p.Output() != "new\n" {
		t.Errorf("the old log is %v, %v; the new one says %q", old, err, p.Output())
	}
}

func TestWaitReadyEndsWhenTheChildAnswersOrEnds(t *testing.T) {
	start := func(t *testing.T, script string) *Process {
		t.Helper()
		p, err := Start(shell(script), Options{Name: "server", Log: filepath.Join(t.TempDir(), "log")})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Kill)
		return p
	}
	notYet := func(context.Context) error { return errors.New("not yet") }
	t.Run("asks until the answer is yes", func(t *testing.T) {
		asked := 0
		err := start(t, "sleep 600").WaitReady(t.Context(), func(context.Context) error {
			if asked++; asked < 3 {
				return errors.New("not yet")
			}
			return nil
		})
		if err != nil || asked != 3 {
			t.Errorf("asked %d times: %v", asked, err)
		}
	})
	t.Run("ends with the child", func(t *testing.T) {
		err := start(t, "echo the disk is on fire; exit 3").WaitReady(t.Context(), notYet)
		wantError(t, err, "server stopped unexpectedly", "the disk is on fire")
	})
	t.Run("is not misled by another server", func(t *testing.T) {
		p := start(t, "exit 3")
		<-p.Done()
		wantError(t, p.WaitReady(t.Context(), func(context.Context) error { return nil }), "server stopped unexpectedly")
	})
	t.Run("ends with the context", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("that took too long"))
		wantError(t, start(t, "sleep 600").WaitReady(ctx, notYet), "that took too long", "not yet")
	})
}

func TestWaitOutputSeesTheLastWords(t *testing.T) {
	var out Buffer
	cmd := shell("echo answer 42; exit 1")
	cmd.Stdout, cmd.Stderr = &out, &out
	p, err := Start(cmd, Options{Name: "oracle"})
	if err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	match, err := p.WaitOutput(t.Context(), regexp.MustCompile(`answer (\d+)`))
	if err != nil || match[1] != "42" {
		t.Errorf("match %q, %v", match, err)
	}
	_, err = p.WaitOutput(t.Context(), regexp.MustCompile("question"))
	wantError(t, err, "oracle stopped unexpectedly", "answer 42")
}

func TestAProgramThatIsMissingCannotStart(t *testing.T) {
	_, err := Start(exec.Command("/no/such/program"), Options{})
	wantError(t, err, "start program", "/no/such/program")
}

func TestRunReturnsTheStandardOutput(t *testing.T) {
	out, err := Run(t.Context(), shell("echo result; echo noise >&2"), RunOptions{})
	if err != nil || out != "result" {
		t.Errorf("%q, %v", out, err)
	}
}

func TestAFailedRunShowsEverythingThatWasPrinted(t *testing.T) {
	_, err := Run(t.Context(), shell("echo out; echo err >&2; exit 7"), RunOptions{})
	wantError(t, err, "/bin/sh -c", "exit status 7")
	var failure *Failure
	var exit *exec.ExitError
	inAnyOrder := []string{"out\nerr\n", "err\nout\n"} // the two streams are separate pipes
	if !errors.As(err, &failure) || !slices.Contains(inAnyOrder, failure.Output) || !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("%#v", err)
	} else if !strings.Contains(err.Error(), strings.TrimSpace(failure.Output)) {
		t.Errorf("%v does not show %q", err, failure.Output)
	}
	_, err = Run(t.Context(), exec.Command("no-such-program"), RunOptions{})
	wantError(t, err, "install no-such-program", "PATH")
}

func TestACancelledRunEndsWithAllThatItStarted(t *testing.T) {
	for _, grace := range []time.Duration{0, time.Minute} {
		dir := t.TempDir()
		ctx, cancel := context.WithCancelCause(t.Context())
		cmd := shell("sleep 600 & echo $! >child; mv child started; wait")
		cmd.Dir = dir
		result := make(chan error, 1)
		go func() {
			_, err := Run(ctx, cmd, RunOptions{Grace: grace})
			result <- err
		}()
		var child int
		await.True(t, patience, "the program has started another", func() bool {
			text, err := os.ReadFile(filepath.Join(dir, "started"))
			child, _ = strconv.Atoi(strings.TrimSpace(string(text)))
			return err == nil
		})
		cancel(errors.New("enough"))
		wantError(t, <-result, "enough")
		await.True(t, patience, "the grandchild is gone", func() bool { return Ended(child) })
	}
}
