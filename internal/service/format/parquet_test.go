package format_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"memexport/internal/service/format"
	"memexport/internal/service/memory"
)

// parseParquet reads a file with the library that also writes the row groups. Other Parquet readers
// are tested in tools/readers.
func parseParquet(file []byte) ([]row, error) {
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return nil, err
	}
	var rows []row
	for _, group := range f.RowGroups() {
		reader := group.Rows()
		for {
			buf := make([]parquet.Row, 1)
			n, err := reader.ReadRows(buf)
			if n == 1 {
				r, err := parseParquetRow(buf[0])
				if err != nil {
					return nil, fmt.Errorf("row %d: %w", len(rows), err)
				}
				rows = append(rows, r)
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, err
			}
		}
		if err := reader.Close(); err != nil {
			return nil, err
		}
	}
	if n, _ := f.Lookup("memexport.memories"); n != strconv.Itoa(len(rows)) || f.NumRows() != int64(len(rows)) {
		return nil, fmt.Errorf("%d rows are %d in the footer, %s in the key-value metadata", len(rows), f.NumRows(), n)
	}
	return rows, nil
}

// parseParquetRow returns a row. A value in exact_values takes the place of the value in the typed
// column.
func parseParquetRow(values parquet.Row) (row, error) {
	r := row{}
	var exact map[string]json.RawMessage
	for column, values := range values.Range {
		v := values[0]
		if column == len(memory.Columns) {
			if !v.IsNull() {
				if err := json.Unmarshal(v.ByteArray(), &exact); err != nil {
					return nil, err
				}
			}
			continue
		}
		name := memory.Columns[column]
		if name == "categories" {
			if v.DefinitionLevel() > 0 {
				r[name] = parseParquetList(values)
			}
			continue
		}
		if v.IsNull() {
			continue
		}
		switch name {
		case "id", "workspace_id":
			s := hex.EncodeToString(v.ByteArray())
			r[name] = strings.Join([]string{s[:8], s[8:12], s[12:16], s[16:20], s[20:]}, "-")
		case "access_count":
			r[name] = strconv.FormatInt(v.Int64(), 10)
		case "last_accessed_at", "created_at", "updated_at":
			const postgresEpoch = 946_684_800_000_000
			t := memory.Time(v.Int64() - postgresEpoch)
			if year := t.Std().Year(); year < 1 || year > 9999 {
				return nil, fmt.Errorf("%s is in the year %d", name, year)
			}
			r[name] = t.String()
		default:
			r[name] = string(v.ByteArray())
		}
	}
	for name, value := range exact {
		s := string(value)
		if name != "categories" {
			if err := json.Unmarshal(value, &s); err != nil {
				return nil, err
			}
		} else if flat := strings.Join(strings.FieldsFunc(s, func(c rune) bool { return c == '[' || c == ']' }), ""); "["+flat+"]" != r[name] {
			return nil, fmt.Errorf("categories are %s, exactly %s", r[name], s)
		}
		r[name] = s
	}
	return r, nil
}

func parseParquetList(values []parquet.Value) string {
	list := []any{}
	for _, v := range values {
		switch v.DefinitionLevel() {
		case 2:
			list = append(list, nil)
		case 3:
			list = append(list, string(v.ByteArray()))
		}
	}
	return string(marshal(list))
}

func TestAParquetFooterNeedsTheEntryOfEveryRowGroup(t *testing.T) {
	m := sample()
	encoder := format.Parquet.NewEncoder()
	data, entry, err := encoder.Finish(encoder.Append(nil, &m))
	if err != nil {
		t.Fatal(err)
	}
	whole, lacking := format.FooterPart{Size: int64(len(data)), Entry: entry}, format.FooterPart{Size: int64(len(data))}
	for name, parts := range map[string][]format.FooterPart{
		"the only one":  {lacking},
		"the first one": {lacking, whole},
		"the last one":  {whole, lacking},
	} {
		info := format.Info{Memories: 1, Entries: len(parts)}
		if _, err := appendFooter(format.Parquet, nil, info, parts); err == nil {
			t.Errorf("%s has no entry, but there is a footer", name)
		}
	}
}

func TestAParquetFooterHasAsManyMemoriesAsTheExport(t *testing.T) {
	m := sample()
	encoder := format.Parquet.NewEncoder()
	data, entry, err := encoder.Finish(encoder.Append(nil, &m))
	if err != nil {
		t.Fatal(err)
	}
	parts := []format.FooterPart{{Size: int64(len(data)), Entry: entry}}
	for memories, want := range []bool{false, true, false} {
		_, err := appendFooter(format.Parquet, nil, format.Info{Memories: int64(memories), Entries: 1}, parts)
		if got := err == nil; got != want {
			t.Errorf("a footer with one row for an export of %d memories: %v", memories, err)
		}
	}
}
