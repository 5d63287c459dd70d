//go:build unix

package process

import (
	"fmt"
	"os/exec"
	"strconv"
	"syscall"
)

// startWatchdog starts a shell that signals pid when this process dies. The shell reads from a pipe
// that only this process can write to, and the read fails when this process dies. release makes the
// shell exit without sending the signal.
func startWatchdog(pid int, sig syscall.Signal) (release func(), err error) {
	dog := exec.Command("/bin/sh", "-c", `read -r line || kill -"$1" "$2"`, "watchdog",
		strconv.Itoa(int(sig)), strconv.Itoa(pid))
	inOwnGroup(dog) // without its own group, Ctrl-C would end the shell together with this process
	pipe, err := dog.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := dog.Start(); err != nil {
		return nil, fmt.Errorf("start the watchdog of process %d: %w", pid, err)
	}
	return func() {
		_, _ = pipe.Write([]byte("stop\n")) // it fails only if the watchdog has ended
		_ = dog.Wait()
	}, nil
}
