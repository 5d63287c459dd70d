//go:build !linux

package devstack

import (
	"errors"
	"os/exec"
	"syscall"
)

// startBound starts cmd with a watchdog beside it, because only Linux can bind a child to its
// parent. The returned function is to be called when the child has exited.
func startBound(cmd *exec.Cmd, orphanSignal syscall.Signal) (release func(), err error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	release, err = startWatchdog(cmd.Process.Pid, orphanSignal)
	if err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return nil, err
	}
	return release, nil
}

// serves tells whether the process runs; without /proc its arguments are not to be had.
func serves(pid int, _ string) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}
