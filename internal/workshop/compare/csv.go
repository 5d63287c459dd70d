// Package compare compares the file of an export with psql's file of the same rows, value by value.
// It ignores the differences that the documentation of the formats describes.
package compare

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"time"

	"github.com/lib/pq"

	"memexport/internal/service/memory"
)

// Func compares the file of an export with psql's file. It returns an error if the files differ, and
// otherwise the number of memories in each file.
type Func func(ours, psqls io.Reader) (memories int, err error)

// Files opens the two files and compares them.
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

// bufferSize is large because the files can have several GB.
const bufferSize = 1 << 20

// psqlTime is the layout in which COPY writes a timestamptz when the time zone is UTC.
const psqlTime = "2006-01-02 15:04:05.999999-07"

// CSV compares an export in CSV with psql's CSV of the same rows. It accepts three differences: an
// export has timestamps in RFC 3339, has categories in JSON, and puts an apostrophe before text
// that a spreadsheet would run as a formula. CSV cannot tell NULL from the empty string, or CRLF
// from LF, because encoding/csv cannot. The function JSON can.
func CSV(ours, psqls io.Reader) (memories int, err error) {
	a, b := csvReader(ours), csvReader(psqls)
	for n := -1; ; n++ { // row -1 is the header
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
	return apostrophe.ReplaceAllString(ours, "$1") == theirs, nil
}

// apostrophe matches the apostrophes that CSV adds to a text.
var apostrophe = regexp.MustCompile(`(^|[;|\t\r\n])'`)
