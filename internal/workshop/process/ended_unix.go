//go:build unix

package process

import (
	"errors"
	"syscall"

	"github.com/prometheus/procfs"
)

// Ended reports whether the process with this number has ended. A zombie has ended, but only on Linux
// can Ended tell a zombie from a running process.
func Ended(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	p, err := procfs.NewProc(pid)
	if err != nil {
		return false
	}
	stat, err := p.Stat()
	return err == nil && stat.State == "Z"
}
