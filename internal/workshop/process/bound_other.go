//go:build unix && !linux

package process

import (
	"os/exec"
	"syscall"
)

// startBound starts cmd and a watchdog for it, because only Linux has Pdeathsig. The caller calls
// release when the child has exited.
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
