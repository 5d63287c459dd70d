package format_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"
	"unicode/utf8"

	"memexport/internal/service/format"
	"memexport/internal/service/memory"
)

// row is a memory as read from a file: the values as text, by column. Columns that are NULL are absent.
type row map[string]string

// parsers holds for each format a strict function that reads a whole file without using the code
// under test. A new format needs an entry here; the tests in this file then cover it.
var parsers = map[string]func(file []byte) ([]row, error){
	"json":     parseJSON,
	"csv":      parseCSV,
	"markdown": parseMarkdown,
}

func TestEveryFormatCarriesEveryMemory(t *testing.T) {
	for _, f := range format.All {
		t.Run(f.Name, func(t *testing.T) {
			for name, memories := range cases() {
				t.Run(name, func(t *testing.T) { checkRoundTrip(t, f, memories) })
			}
		})
	}
}

func TestPiecesMakeTheSameBytesAsTheWhole(t *testing.T) {
	for _, f := range format.All {
		for name, memories := range cases() {
			for _, m := range memories {
				whole := f.Append(nil, &m)
				for _, size := range []int{1, 3, 1 << 16} {
					if len(m.Text) > 1<<20 && size < 1<<16 {
						continue // a text of megabytes, byte by byte, takes long and tests nothing more
					}
					pieces := cut(m, func(rest []byte) int { return size })
					if got := appendPieces(f, nil, &pieces); !bytes.Equal(got, whole) {
						t.Fatalf("%s, %s, pieces of %d:\n%.300q\nwhole:\n%.300q", f.Name, name, size, got, whole)
					}
				}
			}
		}
	}
}

func TestEncodingDoesNotAllocate(t *testing.T) {
	m := sample()
	m.Text = []byte("Said \"<hi>\",\r\nthen [left] `quietly`\\.\n")
	m.UserID = []byte("=a \"user\" `with` everything ")
	for _, f := range format.All {
		dst := make([]byte, 0, 1<<12)
		if n := testing.AllocsPerRun(100, func() { dst = f.Append(dst[:0], &m) }); n != 0 {
			t.Errorf("%s allocates %v times per memory", f.Name, n)
		}
	}
}

func TestAppendKeepsTheBytesInDst(t *testing.T) {
	m := sample()
	for _, f := range format.All {
		want := append([]byte("before"), f.Append(nil, &m)...)
		if got := f.Append([]byte("before"), &m); !bytes.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", f.Name, got, want)
		}
	}
}

func TestFormatsAreFoundByTheirNames(t *testing.T) {
	if got, want := format.Names(), []string{"json", "csv", "markdown"}; !slices.Equal(got, want) {
		t.Errorf("Names() = %q, want %q", got, want)
	}
	for _, f := range format.All {
		if got, ok := format.Lookup(f.Name); !ok || got != f {
			t.Errorf("Lookup(%q) = %v, %v", f.Name, got, ok)
		}
		if f.ContentType == "" || f.Extension == "" {
			t.Errorf("%s has no content type or no extension", f.Name)
		}
	}
	for _, name := range []string{"", "JSON", "xml", "md"} {
		if f, ok := format.Lookup(name); ok {
			t.Errorf("Lookup(%q) finds %s", name, f.Name)
		}
	}
}

// checkRoundTrip encodes memories as a file and compares them with the rows that the parser reads.
func checkRoundTrip(t *testing.T, f *format.Format, memories []memory.Memory) {
	t.Helper()
	parse, ok := parsers[f.Name]
	if !ok {
		t.Fatalf("no parser for the format %s: add one to parsers", f.Name)
	}
	file := encode(f, memories)
	if !utf8.Valid(file) {
		t.Fatalf("the file is not valid UTF-8: %.300q", file)
	}
	rows, err := parse(file)
	if err != nil {
		t.Fatalf("%v in\n%.1000q", err, file)
	}
	if len(rows) != len(memories) {
		t.Fatalf("the file has %d memories, want %d:\n%.1000q", len(rows), len(memories), file)
	}
	for i := range rows {
		want := rowOf(&memories[i])
		if f == format.JSON && want["metadata"] == "null" {
			delete(want, "metadata") // JSON null and NULL look the same, see JSON
		}
		if !maps.Equal(rows[i], want) {
			t.Fatalf("memory %d of the file is\n%.1000q\nwant\n%.1000q", i, fmt.Sprint(rows[i]), fmt.Sprint(want))
		}
	}
}

// encode returns the file that an export of memories makes.
func encode(f *format.Format, memories []memory.Memory) []byte {
	file := []byte(f.Prefix)
	for i := range memories {
		if i > 0 {
			file = append(file, f.Separator...)
		}
		file = f.Append(file, &memories[i])
	}
	return append(file, f.Suffix...)
}

// rowOf returns the row that a parser must read for m.
func rowOf(m *memory.Memory) row {
	r := row{
		"id":           string(m.ID),
		"workspace_id": string(m.WorkspaceID),
		"access_count": strconv.FormatInt(m.AccessCount, 10),
		"created_at":   m.CreatedAt.String(),
		"updated_at":   m.UpdatedAt.String(),
	}
	for name, value := range nullable(m) {
		if *value != nil {
			r[name] = string(*value)
		}
	}
	if m.LastAccessedAt.Valid {
		r["last_accessed_at"] = m.LastAccessedAt.Time.String()
	}
	return r
}

// cut returns m as an oversize memory in pieces whose sizes come from next. The first piece always
// holds at least the first character, as the reader of memories promises.
func cut(m memory.Memory, next func(rest []byte) int) memory.Memory {
	if m.Text == nil {
		return m
	}
	rest := m.Text
	take := func(least int) []byte {
		n := min(max(least, next(rest)), len(rest))
		piece := rest[:n:n]
		rest = rest[n:]
		return piece
	}
	_, first := utf8.DecodeRune(rest)
	m.Text = take(first)
	m.Rest = func() ([]byte, error) {
		if len(rest) == 0 {
			return nil, nil
		}
		return take(0), nil
	}
	return m
}

// appendPieces appends an oversize memory as the writer of parts does.
func appendPieces(f *format.Format, dst []byte, m *memory.Memory) []byte {
	dst, prev := f.Before(dst, m), byte(0)
	for piece := m.Text; piece != nil; {
		dst, prev = f.Text(dst, piece, prev)
		if m.Rest == nil {
			break
		}
		piece, _ = m.Rest()
	}
	return f.After(dst, m)
}
