// Package rowgroup encodes memories as the row groups of a Parquet file, and the footer that turns
// them into one file.
//
// A Parquet file is "PAR1", the row groups, and the footer, which says for each row group where its
// columns are. Writers usually keep what the footer needs until the end of the file. Here each row
// group comes with an entry for the footer instead, in which positions count from the start of the
// row group. So row groups can be made by different processes, and the footer by yet another one.
package rowgroup

import (
	"fmt"

	"github.com/parquet-go/parquet-go"

	"memexport/internal/service/memory"
)

const (
	// pageSize is the size in bytes from which the values of a column are encoded and compressed as a
	// page. No column holds more of them in RAM uncompressed.
	pageSize = 256 << 10
	// dictionaryRows is the number of rows after which columns with a dictionary begin a new page: only
	// then does the library compare a dictionary with maxDictionary.
	dictionaryRows = 8192
	// maxDictionary is the size in bytes of a dictionary from which the rest of the column is written
	// without: with so many different values a dictionary saves little, and it needs four times its size
	// in RAM.
	maxDictionary = 512 << 10
	// maxRatio limits the uncompressed size of a row group to this multiple of the size of a part,
	// because readers such as pandas hold a whole row group in RAM.
	maxRatio = 8
	// recount is the number of uncompressed bytes after which the size of the row group is measured
	// again. Measuring costs as much as encoding a row.
	recount = 32 << 10
	// overhead is the size in bytes of the headers of the first pages, which the library does not count.
	overhead = 4 << 10
	// filterBytes is the size in bytes of the filter for user_id, for each different value, rounded up.
	filterBytes = 2
)

// Encoder encodes memories as row groups. The zero value is ready to use. An Encoder is not safe for
// concurrent use.
type Encoder struct {
	group *group // nil while nothing is held back
	large *large // not nil from Before to Finish

	// Scratch space for one row.
	row   [columnCount]parquet.Value
	list  []parquet.Value
	ids   [2][16]byte
	exact []byte

	err error
}

// group is a row group in the making.
type group struct {
	writer  *parquet.GenericWriter[any]
	columns []*parquet.ColumnWriter
	out     *sink

	rows    int
	raw     int  // uncompressed bytes, approximately
	counted int  // raw when size was measured
	size    int  // what the writer held then, in bytes: an upper bound of what it will write
	clamped bool // at least one created_at is not exact
}

func newGroup() *group {
	out := new(sink)
	w := parquet.NewGenericWriter[any](out, schema,
		parquet.Compression(compression),
		parquet.CreatedBy("memexport", "1.0.0", "parquet-go"),
		parquet.PageBufferSize(pageSize),
		parquet.WriteBufferSize(0),
		parquet.DataPageVersion(1), // every reader has it
		parquet.DataPageStatistics(false),
		parquet.DictionaryMaxBytes(maxDictionary),
		parquet.BloomFilters(parquet.SplitBlockFilter(10, "user_id")), // 10 bits: 1 % of false positives
		parquet.SkipPageBounds("memory"),
		parquet.SkipPageBounds("metadata"),
		parquet.SkipPageBounds("categories", "list", "element"),
		parquet.SkipPageBounds(exactValues),
		parquet.SortingWriterConfig(parquet.SortingColumns(parquet.Ascending("created_at"), parquet.Ascending("id"))),
	)
	return &group{writer: w, columns: w.ColumnWriters(), out: out}
}

// Append encodes a memory whose text is complete. It holds everything back, and returns dst unchanged.
func (e *Encoder) Append(dst []byte, m *memory.Memory) []byte {
	if e.group == nil {
		e.group = newGroup()
	}
	e.write(e.group, m, m.Text)
	return dst
}

// Pending returns an upper bound for the number of bytes that Finish appends.
func (e *Encoder) Pending() int {
	if e.group == nil {
		return 0
	}
	g := e.group
	return max(g.size+g.raw-g.counted, g.raw/maxRatio) + overhead + g.rows*filterBytes
}

// Finish appends the row group of the memories since the last Finish, and returns its entry for the
// footer. Both are empty if there were none. It returns the first error of the calls before it.
func (e *Encoder) Finish(dst []byte) (_, entry []byte, err error) {
	switch {
	case e.err != nil:
		return dst, nil, e.err
	case e.large != nil:
		if err := e.large.check(); err != nil {
			return dst, nil, err
		}
		entry, e.large = e.large.entry, nil
		return dst, entry, nil
	case e.group == nil:
		return dst, nil, nil
	}
	dst, r, err := e.group.finish(dst)
	e.group = nil
	if err != nil {
		return dst, nil, err
	}
	entry, err = r.marshal()
	return dst, entry, err
}

// finish appends the row group to dst.
func (g *group) finish(dst []byte) ([]byte, *rowGroup, error) {
	g.out.begin(dst)
	if err := g.writer.Flush(); err != nil {
		return dst, nil, fmt.Errorf("write a row group: %w", err)
	}
	dst = g.out.end()
	if err := g.writer.Close(); err != nil { // this writes a footer, which the sink drops
		return dst, nil, fmt.Errorf("close a row group: %w", err)
	}
	r := describe(&g.writer.File().Metadata().RowGroups[0])
	if g.clamped {
		// Rows that differed only in created_at before may now have the same one: they are not sorted by
		// id.
		r.SortingColumns = r.SortingColumns[:1]
	}
	return dst, r, nil
}

// write adds a row with the given text to g.
func (e *Encoder) write(g *group, m *memory.Memory, text []byte) {
	e.fail(parseUUID(e.ids[0][:], m.ID))
	e.fail(parseUUID(e.ids[1][:], m.WorkspaceID))
	e.row[columnID] = parquet.FixedLenByteArrayValue(e.ids[0][:]).Level(0, 0, columnID)
	e.row[columnWorkspaceID] = parquet.FixedLenByteArrayValue(e.ids[1][:]).Level(0, 0, columnWorkspaceID)
	e.setText(columnMemory, text)
	e.setText(columnUserID, m.UserID)
	e.setText(columnAgentID, m.AgentID)
	e.setText(columnSessionID, m.SessionID)
	e.setText(columnPriority, m.Priority)
	e.setText(columnStatus, m.Status)
	e.setText(columnMetadata, m.Metadata)
	e.row[columnAccessCount] = parquet.Int64Value(m.AccessCount).Level(0, 0, columnAccessCount)

	e.exact = e.exact[:0]
	list, flat, err := appendCategories(e.list[:0], m.Categories)
	e.list = list
	e.fail(err)
	if !flat {
		e.addExact("categories", m.Categories)
	}
	e.row[columnLastAccessedAt] = parquet.Value{}.Level(0, 0, columnLastAccessedAt)
	if m.LastAccessedAt.Valid {
		e.setTime(columnLastAccessedAt, "last_accessed_at", 1, m.LastAccessedAt.Time)
	}
	if !e.setTime(columnCreatedAt, "created_at", 0, m.CreatedAt) {
		g.clamped = true
	}
	e.setTime(columnUpdatedAt, "updated_at", 0, m.UpdatedAt)
	if len(e.exact) > 0 {
		e.exact = append(e.exact, '}')
		e.setText(columnExactValues, e.exact)
	} else {
		e.setText(columnExactValues, nil)
	}
	if e.err != nil {
		return
	}

	for i, c := range g.columns {
		values := e.row[i : i+1]
		if i == columnCategories {
			values = e.list
		}
		_, err := c.WriteRowValues(values)
		e.fail(err)
	}
	g.rows++
	const fixed = 100 // bytes of all values of fixed size, and of lengths and levels
	g.raw += fixed + len(text) + len(m.UserID) + len(m.AgentID) + len(m.SessionID) + len(m.Categories) + len(m.Metadata) + len(e.exact)
	if g.raw-g.counted >= recount {
		g.counted, g.size = g.raw, int(g.writer.Size())
	}
	if g.rows%dictionaryRows == 0 {
		for _, i := range []int{columnUserID, columnAgentID, columnSessionID, columnPriority, columnStatus, columnCategories} {
			e.fail(g.columns[i].Flush())
		}
	}
}

// setText sets the value of an optional column.
func (e *Encoder) setText(column int, s []byte) {
	if s == nil {
		e.row[column] = parquet.Value{}.Level(0, 0, column)
	} else {
		e.row[column] = parquet.ByteArrayValue(s).Level(0, 1, column)
	}
}

// setTime sets the value of a timestamp column, and reports whether it is exact.
func (e *Encoder) setTime(column int, name string, definition int, t memory.Time) (exact bool) {
	micros, exact := clamp(t)
	e.row[column] = parquet.Int64Value(micros).Level(0, definition, column)
	if !exact {
		var buf [40]byte
		e.addExact(name, append(t.Append(append(buf[:0], '"')), '"'))
	}
	return exact
}

// addExact adds a member to the object of the column exact_values.
func (e *Encoder) addExact(name string, value []byte) {
	c := byte(',')
	if len(e.exact) == 0 {
		c = '{'
	}
	e.exact = append(append(append(e.exact, c, '"'), name...), `":`...)
	e.exact = append(e.exact, value...)
}

// fail keeps the first error.
func (e *Encoder) fail(err error) {
	if e.err == nil {
		e.err = err
	}
}

// sink is the file that the library writes. It keeps only the row group: what is written between begin
// and end, without Magic.
type sink struct {
	dst  []byte
	skip int
	open bool
}

func (s *sink) begin(dst []byte) { s.dst, s.skip, s.open = dst, len(Magic), true }

func (s *sink) end() []byte {
	dst := s.dst
	s.dst, s.open = nil, false
	return dst
}

// Write implements io.Writer.
func (s *sink) Write(p []byte) (int, error) {
	if s.open {
		skipped := min(s.skip, len(p))
		s.skip -= skipped
		s.dst = append(s.dst, p[skipped:]...)
	}
	return len(p), nil
}
