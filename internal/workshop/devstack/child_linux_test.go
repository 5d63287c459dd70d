package devstack

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"testing"
)

// The kernel takes the end of the thread that forked for the death of the parent.
func TestPostgresOutlivesTheThreadThatAskedForIt(t *testing.T) {
	dir := stackDir(t)
	thread, started := 0, make(chan *Postgres, 1)
	start := func() {
		defer close(started)
		thread = syscall.Gettid()
		p, err := StartPostgres(t.Context(), PostgresOptions{Dir: dir, Fast: true})
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
			// The main thread never ends: hold it, and try another.
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
	t.Cleanup(func() { _ = p.Stop() })
	eventually(t, "the thread is gone", func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", thread))
		return os.IsNotExist(err)
	})
	for range 100 {
		if err := exec1(p.URL, "SELECT 1"); err != nil {
			t.Fatal(err, p.Err())
		}
	}
}
