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
	"ndjson":   parseNDJSON,
	"parquet":  parseParquet,
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

func TestEveryFormatCarriesOversizeTexts(t *testing.T) {
	for _, f := range format.All {
		t.Run(f.Name, func(t *testing.T) {
			for _, size := range []int{1, 3, 1 << 16} {
				var memories []memory.Memory
				for _, s := range texts {
					m := sample()
					m.Text = []byte(s)
					memories = append(memories, m)
				}
				pieces := func(m memory.Memory) memory.Memory { return cut(m, func([]byte) int { return size }) }
				checkFile(t, f, memories, encode(f, memories, pieces))
			}
		})
	}
}

func TestPiecesMakeTheSameBytesAsTheWhole(t *testing.T) {
	for _, f := range writesAtOnce() {
		for name, memories := range cases() {
			for _, m := range memories {
				whole := appendWhole(f, nil, &m)
				for _, size := range []int{1, 3, 1 << 16} {
					if len(m.Text) > 1<<20 && size < 1<<16 {
						continue // splitting a text of megabytes at every byte takes too long
					}
					pieces := cut(m, func(rest []byte) int { return size })
					if got := appendPieces(f.NewEncoder(), nil, &pieces); !bytes.Equal(got, whole) {
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
	for _, f := range writesAtOnce() {
		dst := make([]byte, 0, 1<<12)
		encoder := f.NewEncoder()
		if n := testing.AllocsPerRun(100, func() { dst = encoder.Append(dst[:0], &m) }); n != 0 {
			t.Errorf("%s allocates %v times per memory", f.Name, n)
		}
	}
}

func TestEncodersKeepTheBytesInDst(t *testing.T) {
	m := sample()
	for _, f := range format.All {
		want := append([]byte("before"), appendWhole(f, nil, &m)...)
		if got := appendWhole(f, []byte("before"), &m); !bytes.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", f.Name, got, want)
		}
	}
}

func TestFinishAppendsNoMoreThanPending(t *testing.T) {
	for _, f := range format.All {
		encoder := f.NewEncoder()
		for _, memories := range []int{1, 100, 5000} {
			for n := range memories {
				m := sample()
				m.UserID = fmt.Appendf(nil, "user-%d", n)
				encoder.Append(nil, &m)
			}
			pending := encoder.Pending()
			if got, _, err := encoder.Finish(nil); err != nil || len(got) > pending {
				t.Errorf("%s: %d bytes are appended, %v, pending were %d", f.Name, len(got), err, pending)
			}
			if encoder.Pending() != 0 {
				t.Errorf("%s: %d bytes are pending after Finish", f.Name, encoder.Pending())
			}
		}
	}
}

func TestAFinishedEncoderEncodesTheNextPartAsANewOne(t *testing.T) {
	m := sample()
	for _, f := range format.All {
		encoder := f.NewEncoder()
		first, firstEntry, _ := encoder.Finish(encoder.Append(nil, &m))
		again, againEntry, err := encoder.Finish(encoder.Append(nil, &m))
		if err != nil || !bytes.Equal(again, first) || !bytes.Equal(againEntry, firstEntry) || len(first) == 0 {
			t.Errorf("%s: %.100q, then %.100q, %v", f.Name, first, again, err)
		}
	}
}

func TestEmptyPartsHaveNoBytes(t *testing.T) {
	for _, f := range format.All {
		if got, entry, err := f.NewEncoder().Finish(nil); len(got) > 0 || entry != nil || err != nil {
			t.Errorf("%s: %q, entry %q, %v", f.Name, got, entry, err)
		}
	}
}

func TestFormatsAreFoundByTheirNames(t *testing.T) {
	if got, want := format.Names(), []string{"json", "csv", "markdown", "ndjson", "parquet"}; !slices.Equal(got, want) {
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
	checkFile(t, f, memories, encode(f, memories, nil))
}

// checkFile compares memories with the rows that the parser reads from a file.
func checkFile(t *testing.T, f *format.Format, memories []memory.Memory, file []byte) {
	t.Helper()
	parse, ok := parsers[f.Name]
	if !ok {
		t.Fatalf("no parser for the format %s: add one to parsers", f.Name)
	}
	if !f.Compressed && !utf8.Valid(file) {
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
		if (f == format.JSON || f == format.NDJSON) && want["metadata"] == "null" {
			delete(want, "metadata") // the format JSON does not distinguish JSON null from NULL
		}
		if !maps.Equal(rows[i], want) {
			t.Fatalf("memory %d of the file is\n%.1000q\nwant\n%.1000q", i, fmt.Sprint(rows[i]), fmt.Sprint(want))
		}
	}
}

// writesAtOnce returns the formats whose encoders append each memory at once instead of in Finish.
func writesAtOnce() []*format.Format {
	return slices.DeleteFunc(slices.Clone(format.All), func(f *format.Format) bool {
		m := sample()
		return len(f.NewEncoder().Append(nil, &m)) == 0
	})
}

// encode returns the file of an export with the given memories, two in each part. If oversize is not
// nil, encode uses it to turn every memory into an oversize one.
func encode(f *format.Format, memories []memory.Memory, oversize func(memory.Memory) memory.Memory) []byte {
	file := []byte(f.Prefix)
	encoder := f.NewEncoder()
	var parts []format.FooterPart
	finish := func() {
		start := len(file)
		var entry []byte
		var err error
		if file, entry, err = encoder.Finish(file); err != nil {
			panic(err)
		}
		if len(file) > start || entry != nil {
			parts = append(parts, format.FooterPart{Size: int64(len(file) - start), Entry: entry})
		}
	}
	for i, m := range memories {
		if i > 0 {
			file = append(file, f.Separator...)
		}
		if oversize != nil {
			m = oversize(m)
		}
		if m.Rest == nil {
			file = encoder.Append(file, &m)
			if i%2 == 1 {
				finish()
			}
			continue
		}
		finish()
		start := len(file)
		file = appendPieces(encoder, file, &m)
		cut := int64(len(file)-start) / 2 // put the memory into two parts
		parts = append(parts, format.FooterPart{Size: cut})
		_, entry, err := encoder.Finish(nil)
		if err != nil {
			panic(err)
		}
		parts = append(parts, format.FooterPart{Size: int64(len(file)-start) - cut, Continues: true, Entry: entry})
	}
	finish()
	if f.NewFooter == nil {
		return append(file, f.Suffix...)
	}
	info := format.Info{ExportID: exportID, Filters: []string{"user_id", "priority"}, Memories: int64(len(memories))}
	for _, p := range parts {
		if p.Entry != nil {
			info.Entries++
		}
	}
	file, err := appendFooter(f, file, info, parts)
	if err != nil {
		panic(err)
	}
	return file
}

func appendFooter(f *format.Format, file []byte, info format.Info, parts []format.FooterPart) ([]byte, error) {
	footer := f.NewFooter(info)
	var err error
	for _, p := range parts {
		if file, err = footer.Append(file, p); err != nil {
			return nil, err
		}
	}
	return footer.Finish(file)
}

const exportID = "0192f0c1-7a3e-7c44-9b1d-000000000001"

// appendWhole appends a part with one memory.
func appendWhole(f *format.Format, dst []byte, m *memory.Memory) []byte {
	encoder := f.NewEncoder()
	dst, _, err := encoder.Finish(encoder.Append(dst, m))
	if err != nil {
		panic(err)
	}
	return dst
}

// rowOf returns the row that a parser must return for m.
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

// cut returns m as an oversize memory. next chooses the sizes of the pieces. The first piece always
// holds at least the first character, as the reader of memories guarantees.
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
	m.Size = int64(len(rest))
	m.Text = take(first)
	m.Rest = func() ([]byte, error) {
		if len(rest) == 0 {
			return nil, nil
		}
		return take(0), nil
	}
	return m
}

// appendPieces appends an oversize memory in pieces, as package partwriter does.
func appendPieces(encoder format.Encoder, dst []byte, m *memory.Memory) []byte {
	dst = encoder.Before(dst, m)
	for piece := m.Text; piece != nil; {
		dst = encoder.Text(dst, piece)
		if m.Rest == nil {
			break
		}
		piece, _ = m.Rest()
	}
	return encoder.After(dst, m)
}
