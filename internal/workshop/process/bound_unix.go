//go:build unix

package process

import (
	"os"
	"os/exec"
	"syscall"
)

// inOwnGroup makes the child the leader of a new process group.
func inOwnGroup(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
}

// askToStop sends the signal to the child. It ignores the error, because sending fails only if the
// child has ended.
func askToStop(p *os.Process, s syscall.Signal) { _ = p.Signal(s) }

// signalGroup sends the signal to the child's process group: the child and the processes that it
// started.
func signalGroup(p *os.Process, s syscall.Signal) { _ = syscall.Kill(-p.Pid, s) }
