package process

import (
	"os"
	"os/exec"
	"syscall"
)

// startBound starts cmd. Windows does not bind it to this process.
func startBound(cmd *exec.Cmd, _ syscall.Signal) (release func(), err error) {
	return func() {}, cmd.Start()
}

// askToStop ends the process: Windows has no signal that asks for it.
func askToStop(p *os.Process, _ syscall.Signal) { _ = p.Kill() }

// signalGroup ends the process alone: Windows has no process groups that can be signalled.
func signalGroup(p *os.Process, _ syscall.Signal) { _ = p.Kill() }
