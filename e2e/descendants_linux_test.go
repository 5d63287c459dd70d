package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// dieWithParent has the kernel kill a child when the thread that forks it ends.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }

// processes are all processes with the numbers of their parents; zombies do not count.
func processes() (map[running]int, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	parents := map[running]int{}
	for _, path := range paths {
		stat, err := os.ReadFile(path)
		if gone(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		// The name, in parentheses, may contain anything.
		fields := strings.Fields(string(stat[strings.LastIndex(string(stat), ")")+1:]))
		const state, parent, begun = 0, 1, 19
		if len(fields) <= begun {
			return nil, fmt.Errorf("%s: %s", path, stat)
		}
		if fields[state] == "Z" || fields[state] == "X" {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			return nil, err
		}
		if parents[running{pid, fields[begun]}], err = strconv.Atoi(fields[parent]); err != nil {
			return nil, err
		}
	}
	return parents, nil
}
