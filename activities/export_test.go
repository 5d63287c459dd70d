package activities

import (
	"testing"
	"time"
)

// SetPartSize makes parts of n bytes until the test ends, so that a few memories fill several.
func SetPartSize(t *testing.T, n int) {
	before := partSize
	partSize = n
	t.Cleanup(func() { partSize = before })
}

// SetOrphanAge makes the sweep take objects of that age until the test ends.
func SetOrphanAge(t *testing.T, age time.Duration) {
	before := orphanAge
	orphanAge = age
	t.Cleanup(func() { orphanAge = before })
}
