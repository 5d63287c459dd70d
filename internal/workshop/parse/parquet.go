package parse

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"
)

// parseNDJSON reads one object per line.
func parseNDJSON(file []byte) ([]Memory, error) {
	memories := []Memory{}
	for line := range bytes.Lines(file) {
		raw, ended := bytes.CutSuffix(line, []byte("\n"))
		if !ended {
			return nil, errors.New("the last line has no end")
		}
		m, err := parseObject(raw)
		if err != nil {
			return nil, fmt.Errorf("%w in %s", err, raw)
		}
		memories = append(memories, m)
	}
	return memories, nil
}

// parseParquet reads all row groups. It returns an error unless every row group declares that it is sorted
// by created_at and id, and the rows of the whole file are sorted in this way.
func parseParquet(file []byte) ([]Memory, error) {
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return nil, err
	}
	memories := []Memory{}
	for i, group := range f.RowGroups() {
		if sorting := group.SortingColumns(); len(sorting) != 2 || sorting[0].Path()[0] != "created_at" || sorting[1].Path()[0] != "id" {
			return nil, fmt.Errorf("row group %d is sorted by %v", i, sorting)
		}
		if memories, err = appendRows(memories, group.Rows()); err != nil {
			return nil, fmt.Errorf("row group %d: %w", i, err)
		}
	}
	for i := 1; i < len(memories); i++ {
		if a, b := memories[i-1], memories[i]; *a.Created > *b.Created || *a.Created == *b.Created && a.ID >= b.ID {
			return nil, fmt.Errorf("row %d is not in order", i)
		}
	}
	if int64(len(memories)) != f.NumRows() {
		return nil, fmt.Errorf("%d rows, in the footer %d", len(memories), f.NumRows())
	}
	return memories, nil
}

func appendRows(memories []Memory, rows parquet.Rows) ([]Memory, error) {
	defer rows.Close()
	buf := make([]parquet.Row, 64)
	for {
		n, err := rows.ReadRows(buf)
		for _, row := range buf[:n] {
			m, err := parseRow(row)
			if err != nil {
				return memories, err
			}
			memories = append(memories, m)
		}
		if errors.Is(err, io.EOF) {
			return memories, nil
		}
		if err != nil {
			return memories, err
		}
	}
}

func parseRow(row parquet.Row) (m Memory, err error) {
	for i, values := range row.Range {
		v := values[0]
		if i == len(Columns) {
			if !v.IsNull() {
				err = fmt.Errorf("exact_values is %s", v)
			}
			continue
		}
		var text *string
		switch column := Columns[i]; {
		case column == "categories":
			items := []string{}
			for _, v := range values {
				if v.DefinitionLevel() == 3 {
					items = append(items, string(v.ByteArray()))
				}
			}
			encoded, _ := json.Marshal(items)
			text = new(string(encoded))
		case v.IsNull():
		case column == "id" || column == "workspace_id":
			h := hex.EncodeToString(v.ByteArray())
			text = new(strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-"))
		case strings.HasSuffix(column, "_at"):
			text = new(time.UnixMicro(v.Int64()).UTC().Format("2006-01-02T15:04:05.000000Z"))
		case column == "access_count":
			text = new(fmt.Sprint(v.Int64()))
		default:
			text = new(string(v.ByteArray()))
		}
		err = errors.Join(err, m.set(Columns[i], text))
	}
	return m, err
}
