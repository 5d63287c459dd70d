package devstack

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
)

// serves reports whether the process runs and works on dir: its working directory is dir, or dir is
// one of its arguments (in a container root may not be able to see the working directory of others).
// A zombie has neither. Nor has a program that was given the number of a process that ended.
func serves(pid int, dir string) bool {
	target, err := os.Stat(dir)
	if err != nil {
		return false
	}
	isDir := func(path string) bool {
		info, err := os.Stat(path)
		return err == nil && os.SameFile(info, target)
	}
	if isDir(fmt.Sprintf("/proc/%d/cwd", pid)) {
		return true
	}
	args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return false
	}
	for arg := range bytes.SplitSeq(args, []byte{0}) {
		if filepath.IsAbs(string(arg)) && isDir(string(arg)) {
			return true
		}
	}
	return false
}
