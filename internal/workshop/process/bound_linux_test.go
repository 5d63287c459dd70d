package process

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"memexport/internal/workshop/await"
)

// For Pdeathsig, the kernel treats the end of the thread that forked as the death of the parent.
func TestAChildOutlivesTheThreadThatStartedIt(t *testing.T) {
	thread, started := 0, make(chan *Process, 1)
	start := func() {
		defer close(started)
		thread = syscall.Gettid()
		p, err := Start(exec.Command("sleep", "600"), Options{})
		if err != nil {
			t.Error(err)
			return
		}
		started <- p
	}
	var onThread func()
	onThread = func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		if syscall.Gettid() == os.Getpid() {
			// This is the main thread, which never ends. Block it, and try another thread.
			go onThread()
			<-t.Context().Done()
			return
		}
		start()
	}
	go onThread()
	p := <-started
	if p == nil {
		return
	}
	t.Cleanup(p.Kill)
	await.True(t, patience, "the thread is gone", func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", thread))
		return os.IsNotExist(err)
	})
	if Ended(p.PID()) {
		t.Error("the child ended with the thread:", p.Err())
	}
}
