package format_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"memexport/internal/service/format"
)

// parseNDJSON requires that every line ends with LF and is one object with the columns of
// memory.Columns, in order.
func parseNDJSON(file []byte) ([]row, error) {
	if len(file) == 0 {
		return nil, nil
	}
	lines, ok := bytes.CutSuffix(file, []byte("\n"))
	if !ok {
		return nil, errors.New("the last line does not end with LF")
	}
	var rows []row
	for i, line := range bytes.Split(lines, []byte("\n")) {
		r, err := parseObject(string(line))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i, err)
		}
		rows = append(rows, r)
	}
	return rows, nil
}

func TestNDJSONHasTheObjectsOfJSON(t *testing.T) {
	m := sample()
	want := string(appendWhole(format.JSON, nil, &m)[len("\n"):]) + "\n"
	if got := string(appendWhole(format.NDJSON, nil, &m)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
