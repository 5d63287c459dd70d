package memory

import "strings"

// Key is a memory's place in the order of every export: by creation, then by id. Keyset pagination
// and ranges are expressed in it.
type Key struct {
	CreatedAt Time   `json:"created_at"` // microseconds since 2000-01-01, see Time
	ID        string `json:"id"`         // UUID in its 36-character lower-case form
}

// Compare orders keys as Postgres orders (created_at, id).
func (k Key) Compare(other Key) int {
	switch {
	case k.CreatedAt < other.CreatedAt:
		return -1
	case k.CreatedAt > other.CreatedAt:
		return 1
	}
	return strings.Compare(k.ID, other.ID)
}

// Range is the keys from First to Last, both included.
type Range struct {
	First Key `json:"first"`
	Last  Key `json:"last"`
}
