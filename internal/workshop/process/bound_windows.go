package process

import (
	"os"
	"os/exec"
	"syscall"
)

// startBound starts cmd. On Windows the child can outlive this process.
func startBound(cmd *exec.Cmd, _ syscall.Signal) (release func(), err error) {
	return func() {}, cmd.Start()
}

// askToStop kills the process, because Windows has no signal that asks a process to stop.
func askToStop(p *os.Process, _ syscall.Signal) { _ = p.Kill() }

// signalGroup kills only the process itself, because Windows cannot signal a process group.
func signalGroup(p *os.Process, _ syscall.Signal) { _ = p.Kill() }
