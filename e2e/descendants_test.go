package e2e

import (
	"errors"
	"os"
	"syscall"
	"testing"
)

// running identifies a process. The process number is not enough, because the kernel reuses
// numbers.
type running struct {
	pid   int
	begun string
}

// descendants returns the children of a process, the children of its children, and so on.
func descendants(t *testing.T, pid int) []running {
	t.Helper()
	parents, err := processes()
	if err != nil {
		t.Fatal(err)
	}
	var found []running
	for generation := []int{pid}; len(generation) > 0; {
		var next []int
		for child, parent := range parents {
			for _, p := range generation {
				if parent == p {
					next = append(next, child.pid)
					found = append(found, child)
				}
			}
		}
		generation = next
	}
	return found
}

// alive returns the numbers of those processes that are still running.
func alive(t *testing.T, these []running) []int {
	t.Helper()
	parents, err := processes()
	if err != nil {
		t.Fatal(err)
	}
	var left []int
	for _, r := range these {
		if _, ok := parents[r]; ok {
			left = append(left, r.pid)
		}
	}
	return left
}

// gone reports whether err means that a file or a process no longer exists.
func gone(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH)
}
