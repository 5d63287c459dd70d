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

// askToStop sends the signal. It fails only if the process is gone.
func askToStop(p *os.Process, s syscall.Signal) { _ = p.Signal(s) }

// signalGroup sends the signal to the child and all that it started in its group.
func signalGroup(p *os.Process, s syscall.Signal) { _ = syscall.Kill(-p.Pid, s) }
