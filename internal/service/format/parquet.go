package format

import (
	"strconv"
	"strings"

	"memexport/internal/service/format/rowgroup"
)

// Parquet is an Apache Parquet file. Its columns are memory.Columns and exact_values: id and
// workspace_id are UUIDs, categories is a LIST of STRING, metadata is JSON, access_count an INT64, the
// timestamps count microseconds in UTC, everything else is STRING. Rows are in order of (created_at,
// id), which the row groups declare as their sorting columns. Columns are compressed with zstd.
//
// A timestamp before the year 1 or after the year 9999, which includes infinity, is replaced by the
// first microsecond of the year 1 or the last microsecond of the year 9999. If an array of categories
// has more than one dimension, the list contains the elements of all dimensions. In both cases
// exact_values is a JSON object that maps the name of the column to the exact value, spelled as in the
// other formats. For all other memories exact_values is NULL.
//
// Each part of the file is a whole row group, with one exception: an oversize memory has a row group of
// its own, which may span several parts. In such a row group the text is not compressed. The footer
// says where the row groups are. The footer's key-value metadata contains memexport.export_id,
// memexport.memories (their number), and memexport.filters (the names of the filters that were set,
// separated by commas).
var Parquet = &Format{
	Name:        "parquet",
	ContentType: "application/vnd.apache.parquet",
	Extension:   "parquet",
	Prefix:      rowgroup.Magic,
	Compressed:  true,
	NewEncoder:  func() Encoder { return new(rowgroup.Encoder) },
	NewFooter:   newParquetFooter,
}

type parquetFooter struct {
	footer *rowgroup.Footer
	start  int64 // where the last row group starts in the file
	end    int64 // where the parts so far end in the file
}

func newParquetFooter(info Info) Footer {
	return &parquetFooter{end: int64(len(rowgroup.Magic)), footer: rowgroup.NewFooter(info.Memories, info.Entries, []rowgroup.Property{
		{Key: "memexport.export_id", Value: info.ExportID},
		{Key: "memexport.filters", Value: strings.Join(info.Filters, ",")},
		{Key: "memexport.memories", Value: strconv.FormatInt(info.Memories, 10)},
	})}
}

func (f *parquetFooter) Append(dst []byte, p FooterPart) ([]byte, error) {
	if !p.Continues {
		f.start = f.end
	}
	f.end += p.Size
	if p.Entry == nil { // the row group continues in the next part
		return dst, nil
	}
	return f.footer.Append(dst, f.start, p.Entry)
}

func (f *parquetFooter) Finish(dst []byte) ([]byte, error) { return f.footer.Finish(dst) }
