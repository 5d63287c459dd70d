package await_test

import (
	"strings"
	"testing"
	"time"

	"memexport/internal/workshop/await"
)

// recorder stands in for a testing.TB and records what happens to it.
type recorder struct {
	testing.TB
	message string
}

func (r *recorder) Helper() {}

func (r *recorder) Fatalf(format string, args ...any) {
	r.message = format
	panic(r)
}

func TestTrueAsksUntilTheFactIsTrue(t *testing.T) {
	asked := 0
	await.True(t, time.Minute, "it was asked three times", func() bool { asked++; return asked == 3 })
}

func TestTrueFailsTheTestAfterTheLimit(t *testing.T) {
	r := &recorder{TB: t}
	func() {
		defer func() { _ = recover() }()
		await.True(r, time.Millisecond, "never", func() bool { return false })
	}()
	if !strings.Contains(r.message, "did not become true") {
		t.Errorf("the test ended with %q", r.message)
	}
}
