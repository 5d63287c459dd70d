package devstack

import (
	"os"
	"path/filepath"

	"github.com/prometheus/procfs"
)

// serves reports whether the process with this id is running and uses dir. The process uses dir if dir
// is its working directory or one of its arguments. (The arguments help in a container, where root may
// not be able to see the working directory of another user's process.) serves returns false for a
// zombie, which has no working directory and no arguments. It also returns false for a different
// program that got the id of a process that has ended.
func serves(pid int, dir string) bool {
	target, err := os.Stat(dir)
	if err != nil {
		return false
	}
	isDir := func(path string) bool {
		info, err := os.Stat(path)
		return err == nil && os.SameFile(info, target)
	}
	p, err := procfs.NewProc(pid)
	if err != nil {
		return false
	}
	if directory, err := p.Cwd(); err == nil && isDir(directory) {
		return true
	}
	args, err := p.CmdLine()
	if err != nil {
		return false
	}
	for _, arg := range args {
		if filepath.IsAbs(arg) && isDir(arg) {
			return true
		}
	}
	return false
}
