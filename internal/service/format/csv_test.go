package format_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"memexport/internal/service/format"
	"memexport/internal/service/memory"
)

// cell is a CSV cell without its quotes. quoted distinguishes the empty string from NULL.
type cell struct {
	value  string
	quoted bool
}

// splitCSV accepts only the grammar of RFC 4180, section 2. encoding/csv is less strict: it accepts a
// bare LF at the end of a record, and turns CRLF inside quotes into LF.
func splitCSV(file string) ([][]cell, error) {
	var records [][]cell
	var record []cell
	for file != "" {
		var c cell
		if file[0] == '"' {
			c.quoted = true
			var value strings.Builder
			for file = file[1:]; ; file = file[1:] {
				end := strings.IndexByte(file, '"')
				if end < 0 {
					return nil, errors.New("unclosed quote")
				}
				value.WriteString(file[:end])
				if file = file[end+1:]; !strings.HasPrefix(file, `"`) {
					break
				}
				value.WriteByte('"')
			}
			c.value = value.String()
		} else {
			end := strings.IndexAny(file, ",\"\r\n")
			if end < 0 {
				return nil, errors.New("the file does not end with CRLF")
			}
			c.value, file = file[:end], file[end:]
		}
		record = append(record, c)
		var ok bool
		if file, ok = strings.CutPrefix(file, ","); ok {
			continue
		}
		if file, ok = strings.CutPrefix(file, "\r\n"); !ok {
			return nil, fmt.Errorf("%.20q after a cell", file)
		}
		records, record = append(records, record), nil
	}
	if record != nil {
		return nil, errors.New("the last record is not closed")
	}
	return records, nil
}

func parseCSV(file []byte) ([]row, error) {
	records, err := splitCSV(string(file))
	if err != nil {
		return nil, err
	}
	theirs, err := csv.NewReader(bytes.NewReader(file)).ReadAll()
	if err != nil {
		return nil, err
	}
	if err := sameRecords(theirs, records); err != nil {
		return nil, err
	}
	if err := noFormulas(string(file)); err != nil {
		return nil, err
	}
	var rows []row
	for i, record := range records {
		if len(record) != len(memory.Columns) {
			return nil, fmt.Errorf("record %d has %d cells", i, len(record))
		}
		r := row{}
		for j, c := range record {
			if c.value == "" && !c.quoted {
				continue
			}
			column := memory.Columns[j]
			switch column {
			case "id", "workspace_id", "access_count", "last_accessed_at", "created_at", "updated_at":
			default:
				if slices.ContainsFunc(formulaStarts, func(start string) bool { return strings.HasPrefix(c.value, start) }) {
					return nil, fmt.Errorf("record %d: %s is a formula: %.100q", i, column, c.value)
				}
				c.value = apostrophe.ReplaceAllString(c.value, "$1")
			}
			r[column] = c.value
		}
		rows = append(rows, r)
	}
	for column, name := range rows[0] {
		if column != name {
			return nil, fmt.Errorf("column %s is called %s", column, name)
		}
	}
	return rows[1:], nil
}

var formulaStarts = []string{"=", "+", "-", "@", " ", "\t", "\r", "\n", "\x1f", "\x7f", "\u0085", "\u00a0", "\u200b", "\u3000", "\ufeff", "＝", "＋", "－", "＠"}

// apostrophe matches what must be replaced to undo the escapes, see the comment on CSV.
var apostrophe = regexp.MustCompile(`(^|[;|\t\r\n])'`)

// noFormulas returns an error if a cell of a file is a formula for a spreadsheet that splits cells at
// ; or | or tab. In such a spreadsheet quotes protect nothing, and a quote at the start of a cell may
// be dropped.
func noFormulas(file string) error {
	for cell := range strings.FieldsFuncSeq(file, func(r rune) bool { return strings.ContainsRune(";|\t\r\n", r) }) {
		if start := strings.TrimLeft(cell, `"`); start != "" && strings.Contains("=+-@", start[:1]) {
			return fmt.Errorf("another separator makes a formula of %.100q", cell)
		}
	}
	return nil
}

// sameRecords compares the records that encoding/csv reads with the records that splitCSV reads. It
// takes into account that encoding/csv turns CRLF in a cell into LF.
func sameRecords(theirs [][]string, ours [][]cell) error {
	if len(theirs) != len(ours) {
		return fmt.Errorf("encoding/csv reads %d records, not %d", len(theirs), len(ours))
	}
	for i := range ours {
		for j, c := range ours[i] {
			if want := strings.ReplaceAll(c.value, "\r\n", "\n"); theirs[i][j] != want {
				return fmt.Errorf("encoding/csv reads %.100q, not %.100q", theirs[i][j], want)
			}
		}
	}
	return nil
}

func TestCSVLooksAsDocumented(t *testing.T) {
	m := sample()
	m.Text, m.UserID, m.AgentID, m.SessionID = []byte("=1+\"2\"\n"), []byte("-1"), nil, []byte{}
	m.AccessCount, m.CreatedAt, m.Metadata = -7, memory.NegativeInfinity, []byte("-1.5")
	want := "0192f0c1-7a3e-7c44-9b1d-3f5a6e7d8c90,\"'=1+\"\"2\"\"\n\",'-1,,\"\",HIGH,COMPLETED,\"[\"\"preferences\"\",\"\"travel\"\"]\",'-1.5," +
		"5d2c9c1e-0f5b-4a57-8a0e-1f9f6f1f2a11,-7,2026-02-01T10:30:00.123456Z,-infinity,2026-01-16T10:30:00.123456Z\r\n"
	if got := string(appendWhole(format.CSV, nil, &m)); got != want {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

// These cells are in the table in docs/security.md.
func TestCSVGuardsWhatASpreadsheetMayRun(t *testing.T) {
	for s, want := range map[string]string{
		"=1": "'=1", "+1": "'+1", "-1": "'-1", "@a": "'@a", "＝1": "'＝1", "＠a": "'＠a", "'": "''",
		" =1": "' =1", "\v=1": "'\v=1", "\x1f=1": "'\x1f=1", "\x7f=1": "'\x7f=1", "\u0085=1": "'\u0085=1", "\u00a0=1": "'\u00a0=1",
		"\u200b=1": "'\u200b=1", "\u202e=1": "'\u202e=1", "\u2028=1": "'\u2028=1", "\u3000=1": "'\u3000=1", "\ufeff=1": "'\ufeff=1",
		"\t=1": "'\t'=1", "\r\n=1": "'\r\n'=1", "\n\n-1": "'\n\n'-1",
		"x;=1": "x;'=1", "x|+1": "x|'+1", "x\t-1": "x\t'-1", "x\r@a": "x\r'@a", "x\n- a": "x\n'- a", `x;"=1`: `x;'""=1`, "x;'=1": "x;''=1",
		"a=1": "a=1", "a; =1": "a; =1", "a, -1": "a, -1", "a\nb": "a\nb", "（注）": "（注）", "Ａ": "Ａ", "“a”": "“a”", "😀": "😀", "é": "é", "": "",
	} {
		m := memory.Memory{Text: []byte(s), UserID: []byte(s)}
		fields := strings.SplitN(string(appendWhole(format.CSV, nil, &m)), ",", 2)[1]
		cell, quoted := want, `"`+want+`"`
		if s == "" || strings.ContainsAny(want, " \",\t\r\n\v\x1f") {
			cell = quoted
		}
		if !strings.HasPrefix(fields, quoted+","+cell+",") {
			t.Errorf("%q becomes %q, want %q", s, fields, quoted+","+cell)
		}
	}
}

func TestCSVQuotesAnAttributeOnlyIfItMust(t *testing.T) {
	quoted := func(attribute string) bool {
		m := memory.Memory{UserID: []byte(attribute)}
		return strings.HasPrefix(string(appendWhole(format.CSV, nil, &m)), `,,"`)
	}
	for i := range 20 {
		before, after := strings.Repeat("_", i), strings.Repeat("é", 19-i)
		for _, c := range []string{" ", ",", `"`} {
			if !quoted(before + c + after) {
				t.Errorf("%q has no quotes", before+c+after)
			}
		}
		if s := before + "~" + after; quoted(s) {
			t.Errorf("%q has quotes", s)
		}
	}
}

// The reader of memories never splits a text within its first character. But the CSV encoder must write
// the apostrophe even for such a split.
func TestCSVGuardsAFullWidthSignInTwoPieces(t *testing.T) {
	for _, n := range []int{1, 2} {
		encoder := format.CSV.NewEncoder()
		encoder.Before(nil, &memory.Memory{Text: []byte("＝1")})
		dst := encoder.Text(nil, []byte("＝1")[:n])
		if dst = encoder.Text(dst, []byte("＝1")[n:]); string(dst) != "'＝1" {
			t.Errorf("cut at %d: %q", n, dst)
		}
	}
}

func FuzzCSV(f *testing.F) { fuzzFormat(f, format.CSV) }

func FuzzParquet(f *testing.F) { fuzzFormat(f, format.Parquet) }

// fuzzFormat encodes and parses memories with arbitrary texts and attributes. If the format writes a
// memory at once, fuzzFormat also checks that a text in two pieces gives the same bytes as the whole
// text.
func fuzzFormat(f *testing.F, target *format.Format) {
	for i, s := range texts {
		f.Add(s, texts[len(texts)-1-i], i)
	}
	f.Fuzz(func(t *testing.T, text, attribute string, at int) {
		for _, s := range []string{text, attribute} {
			if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
				return // Postgres cannot store such a text
			}
		}
		m := sample()
		m.Text, m.UserID = []byte(text), []byte(attribute)
		checkRoundTrip(t, target, []memory.Memory{sample(), m, sample()})
		if !slices.Contains(writesAtOnce(), target) {
			return
		}
		pieces := cut(m, func(rest []byte) int { return 1 + int(uint(at)%uint(len(rest)+1)) })
		if got, want := appendPieces(target.NewEncoder(), nil, &pieces), appendWhole(target, nil, &m); string(got) != string(want) {
			t.Fatalf("in pieces %q, whole %q", got, want)
		}
	})
}
