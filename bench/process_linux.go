package main

import (
	"os/exec"
	"syscall"
)

// bindToParent keeps Ctrl-C from the child, which is stopped in good order, and has the kernel kill
// it when this process dies.
func bindToParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
