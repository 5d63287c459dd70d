package compare

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"memexport/internal/service/memory"
)

// Markdown compares the headings of an export with psql's CSV of the same rows. A heading contains
// created_at and id. The text of a memory cannot look like a heading, because its lines begin with
// "> ".
func Markdown(ours, psqls io.Reader) (memories int, err error) {
	rows := csvReader(psqls)
	if _, err := rows.Read(); err != nil { // the header
		return 0, err
	}
	idColumn, timeColumn := slices.Index(memory.Columns, "id"), slices.Index(memory.Columns, "created_at")
	reader := bufio.NewReaderSize(ours, bufferSize)
	n := 0
	for lineBegins := true; ; {
		line, err := reader.ReadSlice('\n')
		if lineBegins && strings.HasPrefix(string(line[:min(3, len(line))]), "## ") {
			row, csvErr := rows.Read()
			if csvErr != nil {
				return n, fmt.Errorf("psql has no row for heading %d: %w", n, csvErr)
			}
			at, id, _ := strings.Cut(strings.TrimSpace(string(line[3:])), " · ")
			same, timeErr := sameCell("created_at", at, row[timeColumn])
			if timeErr != nil || !same || id != row[idColumn] {
				return n, fmt.Errorf("heading %d is not psql's row", n)
			}
			n++
		}
		lineBegins = err == nil // otherwise the line is longer than the buffer and continues
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			if errors.Is(err, io.EOF) {
				break
			}
			return n, err
		}
	}
	if _, err := rows.Read(); !errors.Is(err, io.EOF) {
		return n, fmt.Errorf("psql has more than the %d rows of the export", n)
	}
	return n, nil
}
