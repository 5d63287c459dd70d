package activities

import "testing"

// SetPartSize makes parts of n bytes until the test ends, so that a few memories fill several.
func SetPartSize(t *testing.T, n int) {
	before := partSize
	partSize = n
	t.Cleanup(func() { partSize = before })
}
