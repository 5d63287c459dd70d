// Command readers reads exports back with the Arrow library for Go. The test readers.test.mjs does the
// same with other libraries. The command compares every NAME.parquet of a directory with NAME.ndjson.
package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: readers DIRECTORY")
		os.Exit(2)
	}
	paths, err := filepath.Glob(filepath.Join(os.Args[1], "*.parquet"))
	if err == nil && len(paths) == 0 {
		err = errors.New("the directory has no Parquet files")
	}
	for _, path := range paths {
		rows, fileErr := compare(path)
		err = errors.Join(err, fileErr)
		fmt.Printf("Arrow for Go reads %s: %d rows, %v\n", filepath.Base(path), rows, fileErr)
	}
	if err != nil {
		os.Exit(1)
	}
}

// compare compares a Parquet file with the NDJSON file beside it.
func compare(path string) (int, error) {
	lines, err := os.Open(strings.TrimSuffix(path, "parquet") + "ndjson")
	if err != nil {
		return 0, err
	}
	defer lines.Close()
	memories := json.NewDecoder(bufio.NewReader(lines))
	memories.UseNumber()

	f, err := file.OpenParquetFile(path, false)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	reader, err := pqarrow.NewFileReader(f, pqarrow.ArrowReadProperties{BatchSize: 1000}, memory.DefaultAllocator)
	if err != nil {
		return 0, err
	}
	batches, err := reader.GetRecordReader(context.Background(), nil, nil)
	if err != nil {
		return 0, err
	}
	defer batches.Release()
	n := 0
	for batches.Next() {
		batch := batches.RecordBatch()
		for i := range int(batch.NumRows()) {
			var want map[string]any
			if err := memories.Decode(&want); err != nil {
				return n, fmt.Errorf("row %d: %w", n, err)
			}
			if err := compareRow(batch, i, want); err != nil {
				return n, fmt.Errorf("row %d: %w", n, err)
			}
			n++
		}
	}
	if err := batches.Err(); err != nil {
		return n, err
	}
	if memories.More() {
		return n, errors.New("there are more memories")
	}
	return n, nil
}

func compareRow(batch arrow.RecordBatch, i int, want map[string]any) error {
	got := map[string]any{}
	for c, column := range batch.Columns() {
		got[batch.ColumnName(c)] = value(column, i)
	}
	exact := map[string]any{}
	if s, ok := got["exact_values"].(string); ok {
		if err := json.Unmarshal([]byte(s), &exact); err != nil {
			return err
		}
	}
	delete(got, "exact_values")
	for column, g := range got {
		w, ok := want[column]
		if !ok {
			return fmt.Errorf("the column %s is unknown", column)
		}
		if e, ok := exact[column]; ok {
			g = e
		}
		if column == "metadata" && g != nil {
			decoder := json.NewDecoder(strings.NewReader(g.(string)))
			decoder.UseNumber()
			if err := decoder.Decode(&g); err != nil {
				return fmt.Errorf("metadata: %w", err)
			}
		}
		if a, b := encode(g), encode(w); a != b {
			return fmt.Errorf("%s is %.200s, want %.200s", column, a, b)
		}
	}
	if len(got) != len(want) {
		return fmt.Errorf("%d columns, want %d", len(got), len(want))
	}
	return nil
}

func encode(v any) string {
	out, err := json.Marshal(v)
	if err != nil {
		panic(err) // cannot happen: every value comes from json
	}
	return string(out)
}

// value returns a value of a column in the form that it has in an export in JSON.
func value(column arrow.Array, i int) any {
	if column.IsNull(i) {
		return nil
	}
	switch a := column.(type) {
	case array.ExtensionArray:
		return value(a.Storage(), i)
	case *array.String:
		return a.Value(i)
	case *array.Binary:
		return string(a.Value(i))
	case *array.Int64:
		return json.Number(fmt.Sprint(a.Value(i)))
	case *array.FixedSizeBinary:
		h := hex.EncodeToString(a.Value(i))
		return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
	case *array.Timestamp:
		return time.UnixMicro(int64(a.Value(i))).UTC().Format("2006-01-02T15:04:05.000000Z")
	case *array.List:
		list := []any{}
		start, end := a.ValueOffsets(i)
		for j := start; j < end; j++ {
			list = append(list, value(a.ListValues(), int(j)))
		}
		return list
	}
	panic(fmt.Sprintf("the type %s is unexpected", column.DataType()))
}
