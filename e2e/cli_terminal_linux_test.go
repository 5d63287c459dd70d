package e2e

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"memexport/internal/workshop/process"
)

// terminal opens a pseudo-terminal. The output that a program writes to tty can be read from screen.
func terminal(t *testing.T) (screen, tty *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { screen.Close() })
	if err := unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetUint32(int(screen.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	return screen, tty
}

func TestATerminalShowsProgressBars(t *testing.T) {
	s := sharedStack(t)
	for _, columns := range []int{100, 40, 12} {
		t.Run(fmt.Sprintf("%d columns", columns), func(t *testing.T) { testBars(t, s, columns) })
	}
}

func testBars(t *testing.T, s *stack, columns int) {
	p := newPerson(t, s.url, s.key)
	screen, tty := terminal(t)
	if err := unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: uint16(columns)}); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "export", "--format", "csv", "-o", "out")
	cmd.Dir, cmd.Env, cmd.Stderr = p.dir, append(process.CleanEnviron(), p.env...), tty
	child, err := process.Start(cmd, process.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer child.Kill()
	timeout := time.AfterFunc(endTimeout, child.Kill) // killing the child also ends the Copy below
	defer timeout.Stop()
	tty.Close()
	var shown bytes.Buffer
	_, _ = io.Copy(&shown, screen) // Copy ends with an error once no process has tty open
	if code := child.ExitCode(); code != 0 {
		t.Fatalf("memexport ended with %d:\n%s", code, shown.String())
	}
	for _, title := range []string{"exporting: ", "downloading: "} {
		drawn := 0
		visible := title[:min(len(title), columns-11)] // on a narrow terminal, the line shows only the beginning of the text
		for _, frame := range strings.Split(shown.String(), "\r") {
			frame = strings.NewReplacer("\x1b[0K", "", "\x1b[2K", "").Replace(frame)
			if !strings.Contains(frame, "% |") {
				continue
			}
			if strings.Contains(frame, visible) {
				drawn++
			}
			if len([]rune(frame)) > columns {
				t.Errorf("a bar wraps, with %d columns: %q", len([]rune(frame)), frame)
			}
		}
		if drawn == 0 {
			t.Errorf("no progress bar %q in\n%q", title, shown.String())
		}
	}
	e := s.client().list(t, "page_size=1").Data[0]
	same(t, "the digest of the file", hexDigest(p.read(t, "out")), *e.SHA256)
}
