//go:build !linux

package main

import (
	"os/exec"
	"syscall"
)

// bindToParent keeps Ctrl-C from the child, which is stopped in good order. Other systems cannot
// end it when this process is killed.
func bindToParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}
