// Package rowid parses the ids of rows, which callers pass as text.
package rowid

import (
	"errors"

	"github.com/google/uuid"
)

// Parse parses a UUID in its 36-character form. It rejects the other forms that uuid.Parse accepts
// (in braces, with the prefix urn:uuid:, without hyphens), because an id must be spelled the same in
// Postgres and in object keys.
func Parse(text string) (uuid.UUID, error) {
	const length = 36 // 32 digits and 4 hyphens
	if len(text) != length {
		return uuid.Nil, errors.New("the id is not a UUID of 36 characters")
	}
	return uuid.Parse(text)
}

// Valid reports whether Parse accepts text.
func Valid(text string) bool {
	_, err := Parse(text)
	return err == nil
}
