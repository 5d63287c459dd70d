package apikey

import (
	"testing"
	"time"

	"memexport/internal/workshop/await"
)

// AwaitUses waits until every noted use of a key has been written.
func (s *Store) AwaitUses(t *testing.T) {
	t.Helper()
	await.True(t, time.Minute, "all uses are written", func() bool {
		s.uses.mu.Lock()
		defer s.uses.mu.Unlock()
		return !s.uses.writing
	})
}
