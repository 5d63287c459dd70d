package devstack

import (
	"os"
	"path/filepath"

	"github.com/prometheus/procfs"
)

// serves reports whether the process runs and works on dir: its working directory is dir, or dir is
// one of its arguments. (In a container, root may not be able to see the working directory of others.)
// It returns false for a zombie, which has neither, and for another program that has taken over the
// number of a process that ended.
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
