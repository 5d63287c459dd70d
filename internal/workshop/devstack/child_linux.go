package devstack

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// startBound starts cmd so that it gets the signal when the calling OS thread ends. The returned
// function is to be called when the child has exited.
func startBound(cmd *exec.Cmd, orphanSignal syscall.Signal) (release func(), err error) {
	cmd.SysProcAttr.Pdeathsig = orphanSignal
	return func() {}, cmd.Start()
}

// serves tells whether the process runs and has to do with dir: it works there, or has it among its
// arguments (in a container root may not see where others work). A zombie has neither, and a number
// that was given to another program has others.
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
