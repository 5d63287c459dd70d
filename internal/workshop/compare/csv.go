// Package compare compares the file of an export with what psql writes for the same rows, value by
// value. Differences that the formats document are accepted.
package compare

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/lib/pq"

	"memexport/internal/service/memory"
)

// Func compares two files and returns how many memories they have.
type Func func(ours, psqls io.Reader) (memories int, err error)

// Files opens two files and compares them.
func Files(ours, psqls string, compare Func) (memories int, err error) {
	a, err := os.Open(ours)
	if err != nil {
		return 0, err
	}
	defer a.Close()
	b, err := os.Open(psqls)
	if err != nil {
		return 0, err
	}
	defer b.Close()
	return compare(a, b)
}

// bufferSize is large because the files have up to several GB.
const bufferSize = 1 << 20

// psqlTime is how COPY writes a timestamptz when the time zone is UTC.
const psqlTime = "2006-01-02 15:04:05.999999-07"

// CSV compares an export as CSV with psql's CSV of the same rows. Three differences are accepted:
// timestamps are in RFC 3339, categories are JSON, and an apostrophe stands before text that a
// spreadsheet would run as a formula. encoding/csv does not tell NULL from the empty text, or CR LF
// from LF. JSON does.
func CSV(ours, psqls io.Reader) (memories int, err error) {
	a, b := csvReader(ours), csvReader(psqls)
	for n := -1; ; n++ { // -1 is the header
		own, err := a.Read()
		theirs, psqlErr := b.Read()
		if errors.Is(err, io.EOF) && errors.Is(psqlErr, io.EOF) {
			return n, nil
		}
		if err != nil || psqlErr != nil {
			return n, fmt.Errorf("row %d: ours: %v; psql's: %v", n, err, psqlErr)
		}
		for i, column := range memory.Columns {
			if n < 0 && own[i] == column && theirs[i] == column {
				continue
			}
			same, err := sameCell(column, own[i], theirs[i])
			if err != nil || n < 0 {
				return n, fmt.Errorf("row %d, %s: %w", n, column, err)
			}
			if !same {
				return n, fmt.Errorf("row %d: %s differs from psql's", n, column)
			}
		}
	}
}

func csvReader(r io.Reader) *csv.Reader {
	c := csv.NewReader(bufio.NewReaderSize(r, bufferSize))
	c.FieldsPerRecord = len(memory.Columns)
	c.ReuseRecord = true
	return c
}

func sameCell(column, ours, theirs string) (bool, error) {
	switch column {
	case "last_accessed_at", "created_at", "updated_at":
		if ours == "" || theirs == "" {
			return ours == theirs, nil
		}
		a, err := time.Parse(time.RFC3339, ours)
		b, psqlErr := time.Parse(psqlTime, theirs)
		return a.Equal(b), errors.Join(err, psqlErr)
	case "categories":
		var a []string
		err := json.Unmarshal([]byte(ours), &a)
		var b pq.StringArray
		return err == nil && b.Scan(theirs) == nil && slices.Equal(a, b), err
	case "id", "workspace_id", "access_count":
		return ours == theirs, nil
	}
	// One apostrophe is the guard. A text that itself begins with an apostrophe has two.
	return strings.TrimPrefix(ours, "'") == theirs, nil
}
