// Package memory reads memories from the table of the memory service that owns them. Memories are
// facts that AI agents store about users. The package never writes to that table.
//
// In this package, "memory" always means a row of that table. The machine's memory is called RAM.
package memory

// Memory is one row of the source table. Its byte slices belong to the reader and are valid only
// until the next memory is read. A nil slice means NULL; an empty slice is the empty string.
type Memory struct {
	ID     []byte // UUID in its 36-character form
	Text   []byte // the column "memory"; if Rest is set, only its first piece
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

	// Rest is set only for an oversize memory. Each call returns the next piece of the text after
	// Text, and nil after the last one. A piece may end in the middle of a UTF-8 sequence.
	Rest func() ([]byte, error)
	// Size is the length of an oversize text in bytes, all pieces together; zero if Rest is nil.
	Size int64
}

// Columns lists the fields of an exported memory, in the order in which every format writes them.
var Columns = []string{
	"id", "memory", "user_id", "agent_id", "session_id", "priority", "status", "categories",
	"metadata", "workspace_id", "access_count", "last_accessed_at", "created_at", "updated_at",
}

// A memory within these limits is small enough to be held in RAM several times. A memory that exceeds
// a limit is oversize, and is read by a query of its own: see visitOversize.
const (
	// maxText is the largest text, in bytes, that is read with the other rows of its page.
	maxText = 1 << 20
	// pieceSize is the size in bytes of the pieces in which an oversize text is read.
	pieceSize = 4 << 20
	// maxMetadata is the largest metadata, in bytes of JSON text, that is read with the other rows of its page. The
	// size as stored would not do, because a number of a few bytes may have 131,072 digits.
	maxMetadata = 1 << 20
	// metadataLimit is the largest metadata, in bytes of JSON text, that can be exported. A worker holds it whole. With
	// this limit, eight activities at once need up to 300 MiB, which is hardly more than with texts in pieces of the same
	// size. With 8 MiB they need up to 460 MiB, and the container's limit is 384 MiB.
	metadataLimit = 4 << 20
	// shortLimit is the largest value of each other column, in bytes of text, that can be exported. A worker holds the
	// value whole, some formats several times.
	shortLimit = 1 << 20
)
