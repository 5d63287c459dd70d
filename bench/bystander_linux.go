package main

import "golang.org/x/sys/unix"

// pin makes a process run on one core only.
func pin(pid, core int) error {
	var set unix.CPUSet
	set.Set(core)
	return unix.SchedSetaffinity(pid, &set)
}
