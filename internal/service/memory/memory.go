// Package memory reads memories, the facts that AI agents store about users, from the table of the
// memory service that owns them. It never writes to that table.
package memory

// Memory is one row of the source table. Its byte slices belong to the reader and are valid only
// until the next memory is read; nil stands for NULL, an empty slice for the empty string.
type Memory struct {
	ID     []byte // UUID in its 36-character form
	Text   []byte // the column "memory"; of an oversize memory, the first piece
	UserID []byte

	AgentID   []byte
	SessionID []byte
	Priority  []byte // LOW, MEDIUM or HIGH
	Status    []byte // PENDING, PROCESSING, COMPLETED or FAILED

	Categories []byte // a JSON array of strings
	Metadata   []byte // a JSON value on one line

	WorkspaceID []byte // UUID in its 36-character form
	AccessCount int64

	LastAccessedAt NullTime
	CreatedAt      Time
	UpdatedAt      Time

	// Rest returns the pieces of an oversize text that follow Text, then nil. It is nil for a memory
	// whose Text is whole. Pieces may be cut in the middle of a UTF-8 sequence.
	Rest func() ([]byte, error)
}

// Columns are the fields of an exported memory, in the order in which every format carries them.
var Columns = []string{
	"id", "memory", "user_id", "agent_id", "session_id", "priority", "status", "categories",
	"metadata", "workspace_id", "access_count", "last_accessed_at", "created_at", "updated_at",
}

// Limits that keep one row small enough to be held in memory several times over.
const (
	// maxText is the length in bytes up to which a text travels with its row; longer ones are
	// fetched in pieces of pieceSize.
	maxText   = 1 << 20
	pieceSize = 4 << 20
	// maxMetadata is the stored (compressed) size in bytes of metadata that travels with its row.
	// TOAST compresses at most about 255-fold, so that a row stays below 16 MiB.
	maxMetadata = 64 << 10
)
