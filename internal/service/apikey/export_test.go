package apikey

import (
	"testing"
	"time"

	"memexport/internal/workshop/await"
)

// AwaitUses waits until no use of a key is left to be written.
func (s *Store) AwaitUses(t *testing.T) {
	t.Helper()
	await.True(t, time.Minute, "all uses are written", func() bool {
		s.uses.mu.Lock()
		defer s.uses.mu.Unlock()
		return !s.uses.writing
	})
}
