// Package rowgroup encodes memories as the row groups of a Parquet file, and the footer that joins
// row groups to a file.
//
// A Parquet file is "PAR1", the row groups, and the footer. The footer says where the columns of each
// row group are. Writers usually collect this information until the end of the file. Here the encoder
// returns this information with each row group, as an entry. Positions in an entry count from the start
// of the row group. So different processes can make the row groups, and another process can make the
// footer.
package rowgroup

import (
	"fmt"

	"github.com/parquet-go/parquet-go"

	"memexport/internal/service/memory"
)

const (
	// pageSize is the size of a page in bytes. When the uncompressed values of a column in RAM reach
	// this size, the library encodes and compresses them as a page.
	pageSize = 256 << 10
	// dictionaryRows is the number of rows after which columns with a dictionary begin a new page.
	// The library compares the size of a dictionary with maxDictionary only at the end of a page.
	dictionaryRows = 8192
	// maxDictionary is the size in bytes at which a dictionary is full; the rest of the column is
	// then written without a dictionary. With so many different values a dictionary saves little, and
	// it takes four times its size in RAM.
	maxDictionary = 512 << 10
	// maxRatio limits the uncompressed size of a row group, as a multiple of the size of a part.
	// Readers such as pandas hold a whole uncompressed row group in RAM.
	maxRatio = 8
	// recount is the number of uncompressed bytes after which the size of the row group is measured
	// again. The size is not measured for every row, because measuring costs as much as encoding a row.
	recount = 32 << 10
	// overhead is the size in bytes of the first page headers, which the library does not include in
	// the size of a row group.
	overhead = 4 << 10
	// filterBytes is the size in bytes, rounded up, that each different user_id adds to the Bloom
	// filter.
	filterBytes = 2
)

// Encoder encodes memories as row groups. The zero value is ready to use. An Encoder is not safe for
// concurrent use.
type Encoder struct {
	group *group // nil while the encoder keeps no memory
	large *large // not nil from Before to Finish

	// These fields are scratch space for one row.
	row   [columnCount]parquet.Value
	list  []parquet.Value
	ids   [2][16]byte
	exact []byte

	err error
}

// group is an unfinished row group.
type group struct {
	writer  *parquet.GenericWriter[any]
	columns []*parquet.ColumnWriter
	out     *sink

	rows    int
	raw     int  // uncompressed bytes, approximately
	size    int  // upper bound for the encoded size in bytes, as of the last measurement
	counted int  // the value of raw at the last measurement of size
	clamped bool // at least one created_at is not exact
}

func newGroup() *group {
	out := new(sink)
	w := parquet.NewGenericWriter[any](out, schema,
		parquet.Compression(compression),
		parquet.CreatedBy("memexport", "1.0.0", "parquet-go"),
		parquet.PageBufferSize(pageSize),
		parquet.WriteBufferSize(0),
		parquet.DataPageVersion(1), // every reader supports version 1
		parquet.DataPageStatistics(false),
		parquet.DictionaryMaxBytes(maxDictionary),
		parquet.BloomFilters(parquet.SplitBlockFilter(10, "user_id")), // 10 bits for each value: 1 % of false positives
		parquet.SkipPageBounds("memory"),
		parquet.SkipPageBounds("metadata"),
		parquet.SkipPageBounds("categories", "list", "element"),
		parquet.SkipPageBounds(exactValues),
		parquet.SortingWriterConfig(parquet.SortingColumns(parquet.Ascending("created_at"), parquet.Ascending("id"))),
	)
	return &group{writer: w, columns: w.ColumnWriters(), out: out}
}

// Append encodes a memory whose text is complete. It returns dst unchanged, because only Finish writes
// the row group.
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
// footer. After an oversize memory, whose row group has been appended already, it returns only the
// entry. If there were no memories, the entry is nil. If an earlier call failed, Finish returns the
// error of that call.
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
	if err := g.writer.Close(); err != nil { // Close writes a footer, which the sink drops
		return dst, nil, fmt.Errorf("close a row group: %w", err)
	}
	r := describe(&g.writer.File().Metadata().RowGroups[0])
	if g.clamped {
		// Clamping may have given rows with different created_at the same value. These rows are not
		// in the order of their ids, so the row group is sorted by created_at only.
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
	const fixed = 100 // bytes of the values of fixed size, the lengths and the levels in one row
	g.raw += fixed + len(text) + len(m.UserID) + len(m.AgentID) + len(m.SessionID) + len(m.Priority) + len(m.Status) +
		len(m.Categories) + len(m.Metadata) + len(e.exact)
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

// setTime sets the value of a timestamp column, and reports whether the column holds t exactly. If it
// does not, setTime also adds t to exact_values, under the given name.
func (e *Encoder) setTime(column int, name string, definition int, t memory.Time) (exact bool) {
	micros, exact := clamp(t)
	e.row[column] = parquet.Int64Value(micros).Level(0, definition, column)
	if !exact {
		var buf [40]byte
		e.addExact(name, append(t.Append(append(buf[:0], '"')), '"'))
	}
	return exact
}

// addExact adds a value to the JSON object in the column exact_values, under the given name.
func (e *Encoder) addExact(name string, value []byte) {
	c := byte(',')
	if len(e.exact) == 0 {
		c = '{'
	}
	e.exact = append(append(append(e.exact, c, '"'), name...), `":`...)
	e.exact = append(e.exact, value...)
}

// fail records err, unless an earlier error is recorded.
func (e *Encoder) fail(err error) {
	if e.err == nil {
		e.err = err
	}
}

// sink is the file that the library writes. It keeps the bytes that are written between begin and
// end, except Magic, and drops all others.
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
