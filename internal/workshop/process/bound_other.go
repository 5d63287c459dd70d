//go:build unix && !linux

package process

import (
	"os/exec"
	"syscall"
)

// startBound starts cmd with a watchdog, since only Linux can bind a child to its parent. The caller
// calls release when the child has exited.
func startBound(cmd *exec.Cmd, orphanSignal syscall.Signal) (release func(), err error) {
	inOwnGroup(cmd)
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
