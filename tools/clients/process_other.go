//go:build !linux

package main

import "os/exec"

// bindToParent does nothing: other kernels know no such thing.
func bindToParent(*exec.Cmd) {}
