package devstack

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
)

// serves reports whether the process with this number is running and uses dir. A process uses dir
// if dir is its working directory or one of its arguments. The arguments matter because in some
// containers even root cannot see the working directory of another user's process. The result is
// false for a zombie, and for an unrelated program that got the number of a process that ended.
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
