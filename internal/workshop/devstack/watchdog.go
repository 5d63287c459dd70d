package devstack

import (
	"fmt"
	"os/exec"
	"strconv"
	"syscall"
)

// startWatchdog starts a shell that signals pid when this process dies: it reads from a pipe of
// which only this process has the other end. release makes it leave without a signal.
func startWatchdog(pid int, sig syscall.Signal) (release func(), err error) {
	dog := exec.Command("/bin/sh", "-c", `read -r line || kill -"$1" "$2"`, "watchdog",
		strconv.Itoa(int(sig)), strconv.Itoa(pid))
	dog.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // or Ctrl-C ends it with the parent
	pipe, err := dog.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := dog.Start(); err != nil {
		return nil, fmt.Errorf("start the watchdog of process %d: %w", pid, err)
	}
	return func() {
		_, _ = pipe.Write([]byte("stop\n")) // fails only if the watchdog is gone, which is what we want
		_ = dog.Wait()
	}, nil
}
