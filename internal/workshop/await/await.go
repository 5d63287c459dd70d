// Package await lets a test wait for something that another goroutine or process does.
package await

import (
	"testing"
	"time"
)

// True fails the test unless isTrue returns true within the limit. It calls isTrue at once and then
// every 10 ms. It calls isTrue in the test's goroutine, so isTrue may call tb.Fatal. The failure
// message contains fact, which is a sentence such as "the export is READY".
func True(tb testing.TB, limit time.Duration, fact string, isTrue func() bool) {
	tb.Helper()
	const every = 10 * time.Millisecond
	for deadline := time.Now().Add(limit); !isTrue(); time.Sleep(every) {
		if time.Now().After(deadline) {
			tb.Fatalf("this did not become true within %s: %s", limit, fact)
		}
	}
}
