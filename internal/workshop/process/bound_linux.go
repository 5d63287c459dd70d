package process

import (
	"os/exec"
	"syscall"
)

// startBound starts cmd with Pdeathsig, so that the kernel sends orphanSignal to the child when the
// calling thread ends. The caller calls release when the child has exited.
func startBound(cmd *exec.Cmd, orphanSignal syscall.Signal) (release func(), err error) {
	inOwnGroup(cmd)
	cmd.SysProcAttr.Pdeathsig = orphanSignal
	return func() {}, cmd.Start()
}
