package e2e

import (
	"errors"
	"os"
	"syscall"
	"testing"
)

// running identifies a process. The number alone does not: the kernel uses it again.
type running struct {
	pid   int
	begun string
}

// descendants returns the children of a process, their children, and so on.
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

// alive returns the numbers of the processes that still run.
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

// gone reports whether a file or a process disappeared while the test looked at it.
func gone(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH)
}
