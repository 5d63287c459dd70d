//go:build !linux

package e2e

import (
	"os/exec"
	"strconv"
	"strings"
)

// processes returns all processes except zombies, with the process numbers of their parents.
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
		parent, err := strconv.Atoi(fields[1])
		if err != nil {
			return nil, err
		}
		parents[running{pid: pid, begun: strings.Join(fields[3:], " ")}] = parent
	}
	return parents, nil
}
