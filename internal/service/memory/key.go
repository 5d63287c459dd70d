package memory

import "strings"

// Key is the position of a memory in an export. Exports are ordered by creation time, then by ID.
type Key struct {
	CreatedAt Time   `json:"created_at"`
	ID        string `json:"id"` // UUID in its 36-character lower-case form
}

// Compare returns -1, 0 or 1, and orders keys as Postgres orders (created_at, id).
func (k Key) Compare(other Key) int {
	switch {
	case k.CreatedAt < other.CreatedAt:
		return -1
	case k.CreatedAt > other.CreatedAt:
		return 1
	}
	return strings.Compare(k.ID, other.ID)
}

// Range is the set of keys from First to Last, both included.
type Range struct {
	First Key `json:"first"`
	Last  Key `json:"last"`
	// Position is the position in the write-ahead log of Postgres at which the range was planned, in bytes. A server
	// must have reached it before the range is read there, or else memories may be missing. 0 if it is not known.
	Position int64 `json:"position,omitempty"`
}
