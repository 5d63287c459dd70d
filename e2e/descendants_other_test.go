//go:build !linux

package e2e

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// dieWithParent does nothing: other kernels know no such thing, and the tests clean up after
// themselves unless they are killed.
func dieWithParent(*syscall.SysProcAttr) {}

// processes are all processes with the numbers of their parents; zombies do not count.
func processes() (map[running]int, error) {
	out, err := exec.Command("ps", "-A", "-o", "pid=,ppid=,stat=,lstart=").Output()
	if err != nil {
		return nil, err
	}
	parents := map[running]int{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) < 4 || strings.HasPrefix(fields[2], "Z") {
			continue
		}
		pid, err := strconv.Atoi(fields[0])
		if err != nil {
			return nil, err
		}
		if parents[running{pid, strings.Join(fields[3:], " ")}], err = strconv.Atoi(fields[1]); err != nil {
			return nil, err
		}
	}
	return parents, nil
}
