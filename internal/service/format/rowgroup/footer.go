package rowgroup

import (
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

// Property is an entry of the key-value metadata of a file.
type Property struct{ Key, Value string }

// Footer encodes everything that follows the row groups in a file: the metadata, its length and Magic. It encodes
// one row group after the other. The library could write the metadata only from all row groups at once.
type Footer struct {
	properties []Property
	rows       int64 // that Append has not described yet
	groups     int   // that Append has not described yet
	common     *format.FileMetaData
	length     int // of the metadata so far, in bytes
	out        output
	writer     thrift.Writer // appends to out
	encoder    *thrift.Encoder
}

// output is what a call appends to.
type output []byte

func (o *output) Write(p []byte) (int, error) {
	*o = append(*o, p...)
	return len(p), nil
}

// NewFooter returns an encoder for the footer of a file with this many rows and row groups.
func NewFooter(rows int64, groups int, properties []Property) *Footer {
	f := &Footer{properties: properties, rows: rows, groups: groups}
	f.writer = new(thrift.CompactProtocol).NewWriter(&f.out)
	f.encoder = thrift.NewEncoder(f.writer)
	return f
}

// Append appends the description of the next row group. offset says where the row group starts in the file, and
// entry is what Encoder.Finish returned for it.
func (f *Footer) Append(dst []byte, offset int64, entry []byte) ([]byte, error) {
	r, err := unmarshal(entry)
	if err != nil {
		return dst, err
	}
	return f.append(dst, func() error {
		f.rows -= r.NumRows
		f.groups--
		r.shift(offset)
		return f.encoder.Encode(r)
	})
}

// Finish appends the rest of the footer.
func (f *Footer) Finish(dst []byte) ([]byte, error) {
	dst, err := f.append(dst, f.writeEnd)
	if err != nil {
		return dst, err
	}
	if f.rows != 0 || f.groups != 0 {
		return dst, fmt.Errorf("the footer lacks %d rows and %d row groups", f.rows, f.groups)
	}
	return append(binary.LittleEndian.AppendUint32(dst, uint32(f.length)), Magic...), nil
}

// append appends what write writes. Before the first call of write, it appends what precedes the row groups.
func (f *Footer) append(dst []byte, write func() error) ([]byte, error) {
	f.out = dst
	var err error
	if f.common == nil {
		err = f.writeStart()
	}
	if err == nil {
		err = write()
	}
	f.length += len(f.out) - len(dst)
	dst, f.out = f.out, nil
	if err != nil {
		return dst, fmt.Errorf("write a footer: %w", err)
	}
	return dst, nil
}

// writeStart writes the fields of the Thrift structure FileMetaData up to the number of row groups.
func (f *Footer) writeStart() (err error) {
	if f.common, err = fileMetaData(); err != nil {
		return err
	}
	return errors.Join(
		f.field(thrift.I32), f.writer.WriteInt32(f.common.Version),
		writeList(f, f.common.Schema),
		f.field(thrift.I64), f.writer.WriteInt64(f.rows),
		f.list(f.groups),
	)
}

// writeEnd writes the fields that follow the row groups.
func (f *Footer) writeEnd() error {
	properties := make([]format.KeyValue, len(f.properties))
	for i, p := range f.properties {
		properties[i] = format.KeyValue(p)
	}
	return errors.Join(
		writeList(f, properties),
		f.field(thrift.BINARY), f.writer.WriteString(f.common.CreatedBy),
		writeList(f, f.common.ColumnOrders),
		f.writer.WriteField(thrift.Field{Type: thrift.STOP}),
	)
}

// field begins the next field.
func (f *Footer) field(t thrift.Type) error {
	return f.writer.WriteField(thrift.Field{ID: 1, Type: t, Delta: true})
}

// list begins the next field, which is a list of structures.
func (f *Footer) list(size int) error {
	return errors.Join(f.field(thrift.LIST), f.writer.WriteList(thrift.List{Size: int32(size), Type: thrift.STRUCT}))
}

// writeList writes the next field, which is a list of structures.
func writeList[T any](f *Footer, list []T) error {
	errs := []error{f.list(len(list))}
	for i := range list {
		errs = append(errs, f.encoder.Encode(&list[i]))
	}
	return errors.Join(errs...)
}

// fileMetaData returns the fields of FileMetaData that are the same in every file.
var fileMetaData = sync.OnceValues(func() (*format.FileMetaData, error) {
	g := newGroup()
	if err := g.writer.Close(); err != nil {
		return nil, fmt.Errorf("write an empty file: %w", err)
	}
	return g.writer.File().Metadata(), nil
})
