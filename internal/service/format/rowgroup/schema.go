package rowgroup

import (
	"slices"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"memexport/internal/service/memory"
)

// The leaf columns in the order of the file: memory.Columns, then exactValues.
const (
	columnID = iota
	columnMemory
	columnUserID
	columnAgentID
	columnSessionID
	columnPriority
	columnStatus
	columnCategories
	columnMetadata
	columnWorkspaceID
	columnAccessCount
	columnLastAccessedAt
	columnCreatedAt
	columnUpdatedAt
	columnExactValues
	columnCount
)

// exactValues names the last column. It is NULL for nearly every memory. Otherwise it is a JSON object
// that maps names of columns to the values that the typed columns cannot hold.
const exactValues = "exact_values"

// minTime and maxTime bound the timestamp columns. SQL, Python, Java and JavaScript support the years
// between them; many readers fail on other years.
var (
	minTime = memory.TimeOf(time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC))
	maxTime = memory.TimeOf(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)) - 1
)

// compression is zstd at its fastest level. Slower levels make files a tenth smaller, but take twice
// the time.
var compression = &zstd.Codec{Level: zstd.SpeedFastest}

var schema = newSchema()

func newSchema() *parquet.Schema {
	plain := func(n parquet.Node) parquet.Node { return parquet.Encoded(n, &parquet.Plain) }
	dictionary := func(n parquet.Node) parquet.Node { return parquet.Encoded(n, &parquet.RLEDictionary) }
	delta := func(n parquet.Node) parquet.Node { return parquet.Encoded(n, &parquet.DeltaBinaryPacked) }
	instant := delta(parquet.Timestamp(parquet.Microsecond))
	label := parquet.Optional(dictionary(parquet.String()))
	return parquet.NewSchema("memories", orderedGroup{
		order: append(slices.Clone(memory.Columns), exactValues),
		Group: parquet.Group{
			"id":               plain(parquet.UUID()),
			"memory":           parquet.Optional(plain(parquet.String())),
			"user_id":          label,
			"agent_id":         label,
			"session_id":       label,
			"priority":         label,
			"status":           label,
			"categories":       parquet.Optional(parquet.List(label)),
			"metadata":         parquet.Optional(plain(parquet.JSON())),
			"workspace_id":     dictionary(parquet.UUID()),
			"access_count":     dictionary(parquet.Int(64)),
			"last_accessed_at": parquet.Optional(instant),
			"created_at":       instant,
			"updated_at":       instant,
			exactValues:        parquet.Optional(plain(parquet.JSON())),
		},
	})
}

// orderedGroup is a group whose fields keep the given order. A parquet.Group sorts its fields by
// name.
type orderedGroup struct {
	parquet.Group
	order []string
}

// Fields implements parquet.Node.
func (g orderedGroup) Fields() []parquet.Field {
	fields := g.Group.Fields()
	slices.SortFunc(fields, func(a, b parquet.Field) int {
		return slices.Index(g.order, a.Name()) - slices.Index(g.order, b.Name())
	})
	return fields
}
