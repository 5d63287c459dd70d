package rowgroup

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// Magic is at the beginning and at the end of every Parquet file.
const Magic = "PAR1"

// maxBound is the size in bytes beyond which the minimum or maximum of a column is left out of the
// statistics, because every reader holds the statistics in memory.
const maxBound = 256

// rowGroup is the Thrift structure RowGroup without the optional field ordinal, whose 16 bits are too
// few for the row groups that a file may have.
type rowGroup struct {
	Columns             thrift.Slice[format.ColumnChunk]   `thrift:"1,required"`
	TotalByteSize       int64                              `thrift:"2,required"`
	NumRows             int64                              `thrift:"3,required"`
	SortingColumns      thrift.Slice[format.SortingColumn] `thrift:"4,optional"`
	FileOffset          int64                              `thrift:"5,optional"`
	TotalCompressedSize int64                              `thrift:"6,optional"`
}

// describe returns the footer's description of a row group, with positions that count from the start
// of the row group. The result shares memory with the argument.
func describe(of *format.RowGroup) *rowGroup {
	r := &rowGroup{
		Columns: of.Columns, TotalByteSize: of.TotalByteSize, NumRows: of.NumRows, SortingColumns: of.SortingColumns,
		FileOffset: of.FileOffset, TotalCompressedSize: of.TotalCompressedSize,
	}
	r.shift(-int64(len(Magic)))
	for i := range r.Columns {
		c := &r.Columns[i]
		// The page index is left out. A small column has few pages in a row group, so the index would
		// only repeat the statistics.
		c.ColumnIndexOffset, c.ColumnIndexLength, c.OffsetIndexOffset, c.OffsetIndexLength = 0, 0, 0, 0
		if s := &c.MetaData.Statistics; len(s.MinValue) > maxBound || len(s.MaxValue) > maxBound {
			s.MinValue, s.MaxValue = nil, nil
		}
		// If some pages of a column do not use the dictionary, the library still puts only the values
		// of the dictionary into the Bloom filter. A reader would miss the other values, so the
		// filter is left out.
		if !allInDictionary(c.MetaData.EncodingStats) {
			c.MetaData.BloomFilterOffset, c.MetaData.BloomFilterLength = 0, 0
		}
	}
	return r
}

// allInDictionary reports whether all data pages refer to the dictionary.
func allInDictionary(pages []format.PageEncodingStats) bool {
	for _, p := range pages {
		if p.PageType != format.DictionaryPage && p.Encoding != format.RLEDictionary {
			return false
		}
	}
	return true
}

// hasDictionary reports whether a column has a dictionary page.
func hasDictionary(c *format.ColumnMetaData) bool {
	return slices.ContainsFunc(c.EncodingStats, func(p format.PageEncodingStats) bool { return p.PageType == format.DictionaryPage })
}

// shift adds n to every position in the row group's description.
func (r *rowGroup) shift(n int64) {
	r.FileOffset += n
	for i := range r.Columns {
		r.shiftColumn(i, n)
	}
}

// shiftColumn adds n to the positions of a column. Positions of pages or filters that do not exist
// stay zero.
func (r *rowGroup) shiftColumn(i int, n int64) {
	c := &r.Columns[i].MetaData
	c.DataPageOffset += n
	if hasDictionary(c) {
		c.DictionaryPageOffset += n
	}
	if c.BloomFilterLength > 0 {
		c.BloomFilterOffset += n
	}
}

// resize sets the sizes in bytes of a column, and moves everything behind the column.
func (r *rowGroup) resize(column int, uncompressed, compressed int64) {
	c := &r.Columns[column].MetaData
	n := compressed - c.TotalCompressedSize
	r.TotalByteSize += uncompressed - c.TotalUncompressedSize
	r.TotalCompressedSize += n
	c.TotalUncompressedSize, c.TotalCompressedSize = uncompressed, compressed
	for i := range r.Columns {
		if i > column {
			r.shiftColumn(i, n)
		} else if b := &r.Columns[i].MetaData; b.BloomFilterLength > 0 { // the filters are behind all columns
			b.BloomFilterOffset += n
		}
	}
}

func (r *rowGroup) marshal() ([]byte, error) {
	return thrift.Marshal(new(thrift.CompactProtocol), r)
}

func unmarshal(entry []byte) (*rowGroup, error) {
	r := new(rowGroup)
	if len(entry) == 0 {
		return nil, errors.New("a row group has no entry for the footer")
	}
	if err := thrift.Unmarshal(new(thrift.CompactProtocol), entry, r); err != nil {
		return nil, fmt.Errorf("read the footer entry of a row group: %w", err)
	}
	return r, nil
}

// Entry describes a row group for the footer: the offset of the row group in the file, and the entry
// that Finish returned for it.
type Entry struct {
	Offset int64
	Entry  []byte
}

// Property is an entry of the key-value metadata of a file.
type Property struct{ Key, Value string }

// Footer returns everything that follows the row groups in a file: the metadata, its length and Magic.
// The entries describe the row groups, in the order of the file.
func Footer(entries []Entry, properties []Property) ([]byte, error) {
	var rows int64
	var groups bytes.Buffer
	protocol := new(thrift.CompactProtocol)
	encoder := thrift.NewEncoder(protocol.NewWriter(&groups))
	for _, e := range entries {
		r, err := unmarshal(e.Entry)
		if err != nil {
			return nil, err
		}
		rows += r.NumRows
		r.shift(e.Offset)
		if err := encoder.Encode(r); err != nil {
			return nil, fmt.Errorf("write the footer entry of a row group: %w", err)
		}
	}
	var footer bytes.Buffer
	footer.Grow(groups.Len() + 4<<10)
	if err := writeMetaData(protocol.NewWriter(&footer), rows, len(entries), groups.Bytes(), properties); err != nil {
		return nil, fmt.Errorf("write a footer: %w", err)
	}
	length := footer.Len()
	return append(binary.LittleEndian.AppendUint32(footer.Bytes(), uint32(length)), Magic...), nil
}

// fileMetaData returns the fields of FileMetaData that are the same in every file.
var fileMetaData = sync.OnceValues(func() (*format.FileMetaData, error) {
	g := newGroup()
	if err := g.writer.Close(); err != nil {
		return nil, fmt.Errorf("write an empty file: %w", err)
	}
	return g.writer.File().Metadata(), nil
})

// writeMetaData writes the Thrift structure FileMetaData with row groups that are encoded already. The
// library could write it only from decoded row groups, which would all be in memory at once.
func writeMetaData(w thrift.Writer, rows int64, count int, groups []byte, properties []Property) error {
	common, err := fileMetaData()
	if err != nil {
		return err
	}
	encoder := thrift.NewEncoder(w)
	field := func(t thrift.Type) error { return w.WriteField(thrift.Field{ID: 1, Type: t, Delta: true}) }
	list := func(size int) error {
		return errors.Join(field(thrift.LIST), w.WriteList(thrift.List{Size: int32(size), Type: thrift.STRUCT}))
	}
	errs := []error{
		field(thrift.I32), w.WriteInt32(common.Version),
		list(len(common.Schema)),
	}
	for i := range common.Schema {
		errs = append(errs, encoder.Encode(&common.Schema[i]))
	}
	errs = append(errs, field(thrift.I64), w.WriteInt64(rows), list(count))
	_, err = w.Writer().Write(groups)
	errs = append(errs, err, list(len(properties)))
	for _, p := range properties {
		errs = append(errs, encoder.Encode(&format.KeyValue{Key: p.Key, Value: p.Value}))
	}
	errs = append(errs, field(thrift.BINARY), w.WriteString(common.CreatedBy), list(len(common.ColumnOrders)))
	for i := range common.ColumnOrders {
		errs = append(errs, encoder.Encode(&common.ColumnOrders[i]))
	}
	return errors.Join(append(errs, w.WriteField(thrift.Field{Type: thrift.STOP}))...)
}
