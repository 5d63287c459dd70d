package rowgroup_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"memexport/internal/service/format/rowgroup"
	"memexport/internal/service/memory"
)

// memoryOf returns the memory with the given number. Ascending numbers have ascending keys
// (created_at, id).
func memoryOf(n int) *memory.Memory {
	return &memory.Memory{
		ID:          fmt.Appendf(nil, "0192f0c1-7a3e-7c44-9b1d-%012x", n),
		Text:        fmt.Appendf(nil, "Memory number %d", n),
		UserID:      fmt.Appendf(nil, "user-%04d", n%1000),
		Status:      []byte("COMPLETED"),
		Categories:  []byte(`["a","b"]`),
		WorkspaceID: []byte("5d2c9c1e-0f5b-4a57-8a0e-1f9f6f1f2a11"),
		AccessCount: int64(n),
		CreatedAt:   memory.TimeOf(time.Date(2026, 1, 1, 0, 0, n/10, 0, time.UTC)),
		UpdatedAt:   memory.TimeOf(time.Date(2026, 2, 1, 0, 0, n, 0, time.UTC)),
	}
}

// part encodes memories as one row group.
func part(t *testing.T, memories ...*memory.Memory) (data, entry []byte) {
	t.Helper()
	var e rowgroup.Encoder
	for _, m := range memories {
		data = e.Append(data, m)
	}
	data, entry, err := e.Finish(data)
	if err != nil {
		t.Fatal(err)
	}
	return data, entry
}

// file makes a file of row groups. The arguments alternate between the data of a row group and its
// entry.
func file(t *testing.T, parts ...[]byte) *parquet.File {
	t.Helper()
	var rows int64
	for i := 1; i < len(parts); i += 2 {
		var group format.RowGroup
		if err := thrift.Unmarshal(new(thrift.CompactProtocol), parts[i], &group); err != nil {
			t.Fatal(err)
		}
		rows += group.NumRows
	}
	footer := rowgroup.NewFooter(rows, len(parts)/2, []rowgroup.Property{{Key: "k", Value: "v"}})
	data, end := []byte(rowgroup.Magic), []byte(nil)
	var err error
	for i := 0; i < len(parts); i += 2 {
		if end, err = footer.Append(end, int64(len(data)), parts[i+1]); err != nil {
			t.Fatal(err)
		}
		data = append(data, parts[i]...)
	}
	if end, err = footer.Finish(end); err != nil {
		t.Fatal(err)
	}
	data = append(data, end...)
	f, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// column returns the values of a column of a row group as text.
func column(t *testing.T, g parquet.RowGroup, i int) []string {
	t.Helper()
	var all []string
	rows := g.Rows()
	defer rows.Close()
	buf := make([]parquet.Row, 100)
	for {
		n, err := rows.ReadRows(buf)
		for _, row := range buf[:n] {
			row.Range(func(column int, values []parquet.Value) bool {
				if column == i {
					all = append(all, values[0].String())
				}
				return true
			})
		}
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func numbered(from, to int) (memories []*memory.Memory) {
	for n := from; n < to; n++ {
		memories = append(memories, memoryOf(n))
	}
	return memories
}

const (
	textColumn       = 1
	userColumn       = 2
	agentColumn      = 3
	categoriesColumn = 7
	createdColumn    = 12
	exactColumn      = 14
)

func TestRowGroupsHaveTheStatisticsOfTheirRows(t *testing.T) {
	data, entry := part(t, numbered(0, 3000)...)
	data2, entry2 := part(t, numbered(3000, 3500)...)
	f := file(t, data, entry, data2, entry2)
	for i, want := range []struct {
		rows  int64
		users [2]string
	}{
		{rows: 3000, users: [2]string{"user-0000", "user-0999"}},
		{rows: 500, users: [2]string{"user-0000", "user-0499"}},
	} {
		g := f.Metadata().RowGroups[i]
		if g.NumRows != want.rows {
			t.Errorf("row group %d has %d rows, want %d", i, g.NumRows, want.rows)
		}
		users := g.Columns[userColumn].MetaData.Statistics
		if got := [2]string{string(users.MinValue), string(users.MaxValue)}; got != want.users {
			t.Errorf("row group %d: users from %q, want %q", i, got, want.users)
		}
		if text := g.Columns[textColumn].MetaData.Statistics; text.MinValue != nil || text.MaxValue != nil {
			t.Errorf("row group %d has the least and the greatest text", i)
		}
		if s := g.SortingColumns; len(s) != 2 || s[0].ColumnIdx != createdColumn || s[1].ColumnIdx != 0 || s[0].Descending || s[1].Descending {
			t.Errorf("row group %d is sorted by %+v", i, s)
		}
	}
	created := f.Metadata().RowGroups[1].Columns[createdColumn].MetaData.Statistics
	for value, n := range map[string]int{string(created.MinValue): 3000, string(created.MaxValue): 3499} {
		want := memoryOf(n).CreatedAt.Std().UnixMicro()
		if got := parquet.Int64.Value([]byte(value)).Int64(); got != want {
			t.Errorf("created_at is bounded by %d, want %d", got, want)
		}
	}
}

// oversize encodes a memory whose text comes in pieces of at most 50,000 bytes.
func oversize(t *testing.T, m *memory.Memory) (data, entry []byte) {
	t.Helper()
	m.Size = int64(len(m.Text))
	var e rowgroup.Encoder
	data = e.Before(nil, m)
	for piece := range slices.Chunk(m.Text, 50_000) {
		data = e.Text(data, piece)
	}
	data, entry, err := e.Finish(e.After(data, m))
	if err != nil {
		t.Fatal(err)
	}
	return data, entry
}

// A reader skips to the columns that it needs, and reserves RAM by the sizes in the footer.
func TestTheFooterSaysWhereEveryColumnIs(t *testing.T) {
	long := memoryOf(3000)
	long.Text = bytes.Repeat([]byte("x"), 200_000)
	data, entry := part(t, numbered(0, 3000)...)
	data2, entry2 := oversize(t, long)
	data3, entry3 := part(t, memoryOf(3001))
	f := file(t, data, entry, data2, entry2, data3, entry3)
	position := int64(len(rowgroup.Magic))
	for i, g := range f.Metadata().RowGroups {
		if g.FileOffset != position {
			t.Errorf("row group %d is at %d, want %d", i, g.FileOffset, position)
		}
		var size, uncompressed int64
		for j, c := range g.Columns {
			start := c.MetaData.DataPageOffset
			if dictionary := c.MetaData.DictionaryPageOffset; dictionary != 0 {
				start = min(start, dictionary)
			}
			if start != position+size {
				t.Errorf("row group %d, column %d is at %d, want %d", i, j, start, position+size)
			}
			size += c.MetaData.TotalCompressedSize
			uncompressed += c.MetaData.TotalUncompressedSize
		}
		if g.TotalCompressedSize != size || g.TotalByteSize != uncompressed {
			t.Errorf("row group %d has %d bytes, %d uncompressed, but its columns have %d and %d", i, g.TotalCompressedSize, g.TotalByteSize, size, uncompressed)
		}
		position += size
		for j, c := range g.Columns {
			want := int64(0)
			if j == userColumn { // the only column with a Bloom filter
				want = position
			}
			if c.MetaData.BloomFilterOffset != want {
				t.Errorf("row group %d, column %d has a filter at %d, want %d", i, j, c.MetaData.BloomFilterOffset, want)
			}
		}
		position += int64(g.Columns[userColumn].MetaData.BloomFilterLength)
	}
	if want := int64(len(rowgroup.Magic) + len(data) + len(data2) + len(data3)); position != want {
		t.Errorf("the row groups end at %d, want %d", position, want)
	}
	text := f.Metadata().RowGroups[1].Columns[textColumn].MetaData
	if more := text.TotalUncompressedSize - long.Size; more < 0 || more > 200 {
		t.Errorf("the column with a text of %d bytes has %d bytes uncompressed", long.Size, text.TotalUncompressedSize)
	}
}

// The dictionary holds each user_id once, and a page holds a small number for each row.
func TestAColumnWithFewValuesIsSmall(t *testing.T) {
	data, entry := part(t, numbered(0, 20_000)...)
	if n := file(t, data, entry).Metadata().RowGroups[0].Columns[userColumn].MetaData.TotalCompressedSize; n > 40_000 {
		t.Errorf("1000 users in 20000 rows take %d bytes", n)
	}
}

// noise returns n characters that hardly compress, and need no escape in JSON.
func noise(n int) []byte {
	b := make([]byte, n)
	for i, r := 0, rand.New(rand.NewPCG(1, 2)); i < n; i++ {
		b[i] = byte('0' + r.IntN(75))
		if b[i] == '\\' {
			b[i] = ' '
		}
	}
	return b
}

func TestPendingIsAnUpperBoundForEveryColumn(t *testing.T) {
	for name, set := range map[string]func(m *memory.Memory){
		"nothing long": func(*memory.Memory) {},
		"memory":       func(m *memory.Memory) { m.Text = noise(20_000) },
		"user_id":      func(m *memory.Memory) { m.UserID = noise(20_000) },
		"agent_id":     func(m *memory.Memory) { m.AgentID = noise(20_000) },
		"session_id":   func(m *memory.Memory) { m.SessionID = noise(20_000) },
		"priority":     func(m *memory.Memory) { m.Priority = noise(20_000) },
		"status":       func(m *memory.Memory) { m.Status = noise(20_000) },
		"categories":   func(m *memory.Memory) { m.Categories = fmt.Appendf(nil, `["%s"]`, noise(20_000)) },
		"metadata":     func(m *memory.Memory) { m.Metadata = fmt.Appendf(nil, `"%s"`, noise(20_000)) },
		"exact_values": func(m *memory.Memory) { m.Categories = fmt.Appendf(nil, `[["%s"]]`, noise(20_000)) },
	} {
		var e rowgroup.Encoder
		m := memoryOf(1)
		set(m)
		e.Append(nil, m)
		pending := e.Pending()
		if data, _, err := e.Finish(nil); err != nil || len(data) > pending {
			t.Errorf("%s: %d bytes are appended, %v, pending were %d", name, len(data), err, pending)
		}
	}
}

// A part ends when Pending reaches the part's size. If Pending ignored compression, parts would be small. If
// it ignored the uncompressed size, a reader would need too much RAM.
func TestPendingFollowsTheCompressedSize(t *testing.T) {
	var e rowgroup.Encoder
	uncompressed := 0
	for n := range 40 {
		m := memoryOf(n)
		m.Text = bytes.Repeat([]byte("a"), 300_000)
		uncompressed += len(m.Text)
		e.Append(nil, m)
	}
	if pending := e.Pending(); pending < uncompressed/8 || pending > uncompressed/6 {
		t.Errorf("%d bytes are pending of %d uncompressed ones", pending, uncompressed)
	}
}

func TestBloomFiltersFindEveryUser(t *testing.T) {
	data, entry := part(t, numbered(0, 2000)...)
	filter := file(t, data, entry).RowGroups()[0].ColumnChunks()[userColumn].BloomFilter()
	if filter == nil {
		t.Fatal("user_id has no filter")
	}
	found := 0
	for n := range 3000 {
		ok, err := filter.Check(parquet.ValueOf(fmt.Sprintf("user-%04d", n)))
		if err != nil || n < 1000 && !ok {
			t.Fatalf("user %d: %v, %v", n, ok, err)
		}
		if ok {
			found++
		}
	}
	if found > 1100 {
		t.Errorf("the filter finds %d of 1000 users", found)
	}
}

// If only some pages of a column use the dictionary, the library puts only the values of the dictionary
// into the Bloom filter. With such a filter a reader would miss the other values.
func TestAColumnThatOutgrowsItsDictionaryHasNoFilter(t *testing.T) {
	var memories []*memory.Memory
	for n := range 26_000 { // enough to fill a dictionary, but not a page
		m := memoryOf(n)
		m.UserID = fmt.Appendf(nil, "user-with-a-long-name-%010d", n)
		memories = append(memories, m)
	}
	data, entry := part(t, memories...)
	g := file(t, data, entry).RowGroups()[0]
	if g.ColumnChunks()[userColumn].BloomFilter() != nil {
		t.Error("user_id has a filter")
	}
	users := column(t, g, userColumn)
	if len(users) != len(memories) {
		t.Fatalf("%d users, want %d", len(users), len(memories))
	}
	for i, user := range users {
		if user != string(memories[i].UserID) {
			t.Fatalf("user %d is %s", i, user)
		}
	}
	if len(entry) > 3<<10 {
		t.Errorf("the entry has %d bytes", len(entry))
	}
}

func TestLongValuesStayOutOfTheStatistics(t *testing.T) {
	short, long := strings.Repeat("m", 256), strings.Repeat("m", 257)
	for _, test := range []struct {
		least, greatest string
		kept            bool
	}{
		{least: short, greatest: short, kept: true},
		{least: "a", greatest: long},
		{least: long, greatest: "z"},
	} {
		first, second := memoryOf(0), memoryOf(1)
		first.AgentID, second.AgentID = []byte(test.least), []byte(test.greatest)
		data, entry := part(t, first, second)
		columns := file(t, data, entry).Metadata().RowGroups[0].Columns
		var want [2]string
		if test.kept {
			want = [2]string{test.least, test.greatest}
		}
		agents := columns[agentColumn].MetaData.Statistics
		if got := [2]string{string(agents.MinValue), string(agents.MaxValue)}; got != want {
			t.Errorf("agents from %q, want %q", got, want)
		}
		if users := columns[userColumn].MetaData.Statistics; string(users.MaxValue) != "user-0001" {
			t.Errorf("the greatest user_id is %q", users.MaxValue)
		}
	}
}

func TestOnlyExactTimesAreDeclaredSortedByID(t *testing.T) {
	first, second := memoryOf(2), memoryOf(1)
	first.CreatedAt, second.CreatedAt = memory.Infinity-1<<60, memory.Infinity
	data, entry := part(t, memoryOf(0), first, second)
	f := file(t, data, entry)
	if s := f.Metadata().RowGroups[0].SortingColumns; len(s) != 1 || s[0].ColumnIdx != createdColumn {
		t.Errorf("sorted by %+v", s)
	}
	exact := column(t, f.RowGroups()[0], exactColumn)
	if exact[0] != "<null>" || !strings.HasPrefix(exact[1], `{"created_at":"+`) || exact[2] != `{"created_at":"infinity"}` {
		t.Errorf("exact_values are %q", exact)
	}
}

func TestTimesOutsideTheTypeAreBoundedAndKeptExactly(t *testing.T) {
	first := memory.TimeOf(time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC))
	last := memory.TimeOf(time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC))
	for _, test := range []struct{ time, want memory.Time }{
		{time: first - 1, want: first}, {time: first, want: first}, {time: last, want: last}, {time: last + 1, want: last},
	} {
		m := memoryOf(1)
		m.CreatedAt = test.time
		data, entry := part(t, m)
		g := file(t, data, entry).RowGroups()[0]
		exact := "<null>"
		if test.time != test.want {
			exact = `{"created_at":"` + test.time.String() + `"}`
		}
		if got := column(t, g, createdColumn)[0]; got != fmt.Sprint(test.want.Std().UnixMicro()) {
			t.Errorf("created_at %s is %s", test.time, got)
		}
		if got := column(t, g, exactColumn)[0]; got != exact {
			t.Errorf("created_at %s: exact_values are %s, want %s", test.time, got, exact)
		}
	}
}

func TestCategoriesBecomeAList(t *testing.T) {
	for array, want := range map[string]struct{ list, exact string }{
		``:                       {list: `NULL`},
		`[]`:                     {list: `empty`},
		`["a"]`:                  {list: `"a"`},
		`["", null, "b\"\\c\n"]`: {list: `"" null "b\"\\c\n"`},
		`[["a","b"],["c",null]]`: {list: `"a" "b" "c" null`, exact: `{"categories":[["a","b"],["c",null]]}`},
	} {
		m := memoryOf(1)
		if m.Categories = []byte(array); array == "" {
			m.Categories = nil
		}
		data, entry := part(t, m, memoryOf(2))
		rows := file(t, data, entry).RowGroups()[0].Rows()
		buf := make([]parquet.Row, 3)
		if n, err := rows.ReadRows(buf); n != 2 || err != nil && err != io.EOF {
			t.Fatalf("%s: %d rows, %v", array, n, err)
		}
		var list []string
		var exact string
		buf[0].Range(func(column int, values []parquet.Value) bool {
			for _, v := range values {
				switch {
				case column == exactColumn && !v.IsNull():
					exact = string(v.ByteArray())
				case column == categoriesColumn && v.IsNull():
					list = append(list, []string{"NULL", "empty", "null"}[v.DefinitionLevel()])
				case column == categoriesColumn:
					list = append(list, strconv.Quote(string(v.ByteArray())))
				}
			}
			return true
		})
		if got := strings.Join(list, " "); got != want.list || exact != want.exact {
			t.Errorf("%s becomes %s, exactly %q, want %s, %q", array, got, exact, want.list, want.exact)
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheSameMemoriesMakeTheSameBytes(t *testing.T) {
	want, wantEntry := part(t, numbered(0, 20_000)...)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			if got, entry := part(t, numbered(0, 20_000)...); !bytes.Equal(got, want) || !bytes.Equal(entry, wantEntry) {
				t.Error("an encoder made other bytes")
			}
		})
	}
	group.Wait()
}

func TestAnOversizeTextIsNeitherHeldNorChanged(t *testing.T) {
	m := memoryOf(7)
	piece := bytes.Repeat([]byte("0123456789abcdef"), 4096)
	const pieces = 50
	m.Text, m.Size = piece, int64(pieces*len(piece))
	m.Rest = func() ([]byte, error) { return nil, nil }
	var e rowgroup.Encoder
	data := e.Before(nil, m)
	for range pieces {
		before := len(data)
		if data = e.Text(data, piece); len(data)-before > len(piece)+10 || e.Pending() != 0 {
			t.Fatalf("%d of %d bytes came, %d are pending", len(data)-before, len(piece), e.Pending())
		}
	}
	data = e.After(data, m)
	data, entry, err := e.Finish(data)
	if err != nil {
		t.Fatal(err)
	}
	after, afterEntry := part(t, memoryOf(8))
	f := file(t, data, entry, after, afterEntry)
	if got := column(t, f.RowGroups()[0], textColumn); len(got) != 1 || got[0] != strings.Repeat(string(piece), pieces) {
		t.Errorf("%d texts, the first of %d bytes", len(got), len(got[0]))
	}
	if got := column(t, f.RowGroups()[0], userColumn); got[0] != "user-0007" {
		t.Errorf("user %s", got[0])
	}
	if ok, err := f.RowGroups()[0].ColumnChunks()[userColumn].BloomFilter().Check(parquet.ValueOf("user-0007")); !ok || err != nil {
		t.Errorf("the filter does not find the user: %v", err)
	}
	if got := column(t, f.RowGroups()[1], userColumn); got[0] != "user-0008" {
		t.Errorf("the user after it is %s", got[0])
	}
}

// The blocks have 128 KiB. They contain the text and about ten bytes in front of it.
func TestAnOversizeTextMayEndNearTheEndOfABlock(t *testing.T) {
	var parts [][]byte
	var texts []string
	for size := 256<<10 - 16; size <= 256<<10+2; size++ {
		m := memoryOf(size)
		m.Text = noise(size)
		texts = append(texts, string(m.Text))
		data, entry := oversize(t, m)
		parts = append(parts, data, entry)
	}
	for i, g := range file(t, parts...).RowGroups() {
		if got := column(t, g, textColumn); len(got) != 1 || got[0] != texts[i] {
			t.Errorf("a text of %d bytes has changed", len(texts[i]))
		}
	}
}

func TestWhatCannotBeEncodedIsAnError(t *testing.T) {
	for name, misuse := range map[string]func(e *rowgroup.Encoder){
		"a text that ends early": func(e *rowgroup.Encoder) {
			m := memoryOf(1)
			m.Size = 10
			e.After(e.Text(e.Before(nil, m), []byte("short")), m)
		},
		"a text that is longer than announced": func(e *rowgroup.Encoder) {
			m := memoryOf(1)
			m.Size = 10
			e.After(e.Text(e.Before(nil, m), []byte("much longer")), m)
		},
		"a text beyond 2 GiB": func(e *rowgroup.Encoder) {
			m := memoryOf(1)
			m.Size = 1 << 31
			e.Before(nil, m)
		},
		"an oversize memory behind another": func(e *rowgroup.Encoder) {
			m := memoryOf(1)
			m.Size = 10
			e.Before(e.Append(nil, m), m)
		},
		"an id that is not a UUID": func(e *rowgroup.Encoder) {
			m := memoryOf(1)
			m.ID = []byte("0192f0c1")
			e.Append(nil, m)
		},
		"categories that are not an array": func(e *rowgroup.Encoder) {
			m := memoryOf(1)
			m.Categories = []byte(`{"a":1}`)
			e.Append(nil, m)
		},
		"categories without an end": func(e *rowgroup.Encoder) {
			m := memoryOf(1)
			m.Categories = []byte(`["a"`)
			e.Append(nil, m)
		},
		"a category without an end": func(e *rowgroup.Encoder) {
			m := memoryOf(1)
			m.Categories = []byte(`"a`)
			e.Append(nil, m)
		},
		"a category that is not a JSON string": func(e *rowgroup.Encoder) {
			m := memoryOf(1)
			m.Categories = []byte(`["\x"]`)
			e.Append(nil, m)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var e rowgroup.Encoder
			misuse(&e)
			if _, entry, err := e.Finish(nil); err == nil || entry != nil {
				t.Errorf("Finish returns an entry of %d bytes, %v", len(entry), err)
			}
		})
	}
}

func TestAFooterNeedsEveryEntry(t *testing.T) {
	for _, entry := range [][]byte{nil, []byte("\xffnonsense")} {
		if _, err := rowgroup.NewFooter(0, 1, nil).Append(nil, 4, entry); err == nil {
			t.Errorf("a footer was made of the entry %q", entry)
		}
	}
}
