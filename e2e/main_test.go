package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

var (
	program string // path of the memexport that the tests have built
	root    string // the directory of the tests; unlike t.TempDir, other users can enter it
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var err error
	if root, err = os.MkdirTemp("", "memexport-e2e-"); err == nil {
		defer os.RemoveAll(root)
		// Postgres refuses to run as root. If root runs the tests, Postgres runs as another user,
		// which must be able to enter the directory.
		err = os.Chmod(root, 0o755)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	program = filepath.Join(root, "memexport")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", program, "memexport/cmd/memexport").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build memexport: %v\n%s", err, out)
		return 1
	}
	defer stopShared()
	// The parallel tests mostly wait, so four of them can run at once even on two cores.
	if err := flag.Set("test.parallel", "4"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// shared starts the stack that is shared by all tests that do not kill any process. Most of these tests run one
// after the other. The long ones are parallel.
var shared = sync.OnceValues(func() (*stack, error) {
	s, err := startDev(devOptions{dir: filepath.Join(root, "shared"), memories: sharedMemories})
	sharedProcess = s
	return s, err
})

// sharedMemories is the number of memories in the demo workspace of the shared stack.
const sharedMemories = 10_000

var sharedProcess *stack

func stopShared() {
	if sharedProcess != nil {
		sharedProcess.stop()
	}
}

// sharedStack returns the shared stack. The first call starts it.
func sharedStack(t *testing.T) *stack {
	t.Helper()
	s, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// newDir creates a directory that other users can enter. It is deleted at the end of the test.
func newDir(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(root, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
