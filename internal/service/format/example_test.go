package format_test

import (
	"bytes"
	"fmt"
	"time"

	"github.com/parquet-go/parquet-go"

	"memexport/internal/service/format"
	"memexport/internal/service/memory"
)

// exampleMemory returns the memory that the examples encode.
func exampleMemory() *memory.Memory {
	created := memory.TimeOf(time.Date(2026, 1, 15, 10, 30, 0, 0, time.UTC))
	return &memory.Memory{
		ID:          []byte("0192f0c1-7a3e-7c44-9b1d-3f5a6e7d8c90"),
		Text:        []byte("Prefers \"window\" seats,\nexcept at night."),
		UserID:      []byte("user-123"),
		Priority:    []byte("HIGH"),
		Status:      []byte("COMPLETED"),
		Categories:  []byte(`["travel"]`),
		WorkspaceID: []byte("5d2c9c1e-0f5b-4a57-8a0e-1f9f6f1f2a11"),
		CreatedAt:   created,
		UpdatedAt:   created,
	}
}

// A file is the prefix, the memories with separators, and the suffix.
func Example() {
	f, ok := format.Lookup("csv")
	if !ok {
		panic("no such format")
	}
	encoder := f.NewEncoder()
	file := []byte(f.Prefix)
	file = encoder.Append(file, exampleMemory())
	file = append(file, f.Separator...)
	file = encoder.Append(file, exampleMemory())
	file = append(file, f.Suffix...)
	fmt.Println(len(file), "bytes of", f.ContentType)
	// Output: 582 bytes of text/csv; charset=utf-8
}

// A Parquet file ends with a footer, which is made from the entries of the parts.
func Example_parquet() {
	f := format.Parquet
	encoder := f.NewEncoder()
	file := []byte(f.Prefix)
	var parts []format.FooterPart
	for range 2 {
		start := len(file)
		file = encoder.Append(file, exampleMemory())
		var entry []byte
		var err error
		if file, entry, err = encoder.Finish(file); err != nil {
			panic(err)
		}
		parts = append(parts, format.FooterPart{Size: int64(len(file) - start), Entry: entry})
	}
	footer := f.NewFooter(format.Info{Memories: 2, Entries: len(parts)})
	var err error
	for _, p := range parts {
		if file, err = footer.Append(file, p); err != nil {
			panic(err)
		}
	}
	if file, err = footer.Finish(file); err != nil {
		panic(err)
	}

	read, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		panic(err)
	}
	fmt.Println(len(read.RowGroups()), "row groups with", read.NumRows(), "rows")
	// Output: 2 row groups with 2 rows
}

func ExampleNames() {
	fmt.Println(format.Names())
	// Output: [json csv markdown ndjson parquet]
}

func ExampleEncoder_json() {
	fmt.Printf("%s\n", format.JSON.NewEncoder().Append(nil, exampleMemory()))
	// Output:
	// {"id":"0192f0c1-7a3e-7c44-9b1d-3f5a6e7d8c90","memory":"Prefers \"window\" seats,\nexcept at night.","user_id":"user-123","agent_id":null,"session_id":null,"priority":"HIGH","status":"COMPLETED","categories":["travel"],"metadata":null,"workspace_id":"5d2c9c1e-0f5b-4a57-8a0e-1f9f6f1f2a11","access_count":0,"last_accessed_at":null,"created_at":"2026-01-15T10:30:00.000000Z","updated_at":"2026-01-15T10:30:00.000000Z"}
}

func ExampleEncoder_csv() {
	fmt.Printf("%s", format.CSV.NewEncoder().Append(nil, exampleMemory()))
	// Output:
	// 0192f0c1-7a3e-7c44-9b1d-3f5a6e7d8c90,"Prefers ""window"" seats,
	// except at night.",user-123,,,HIGH,COMPLETED,"[""travel""]",,5d2c9c1e-0f5b-4a57-8a0e-1f9f6f1f2a11,0,,2026-01-15T10:30:00.000000Z,2026-01-15T10:30:00.000000Z
}

func ExampleEncoder_markdown() {
	fmt.Printf("%s", format.Markdown.NewEncoder().Append(nil, exampleMemory()))
	// Output:
	// ## 2026-01-15T10:30:00.000000Z · 0192f0c1-7a3e-7c44-9b1d-3f5a6e7d8c90
	//
	// - **user_id:** `user-123`
	// - **priority:** `HIGH`
	// - **status:** `COMPLETED`
	// - **categories:** `["travel"]`
	// - **workspace_id:** `5d2c9c1e-0f5b-4a57-8a0e-1f9f6f1f2a11`
	// - **access_count:** `0`
	// - **updated_at:** `2026-01-15T10:30:00.000000Z`
	//
	// > Prefers "window" seats,
	// > except at night.
}

// An oversize text comes in pieces. Encoding it gives the same bytes as encoding the whole text at
// once.
func ExampleEncoder_oversize() {
	m := exampleMemory()
	rest := [][]byte{[]byte("seats,\nexcept at night.")}
	m.Text = []byte("Prefers \"window\" ")
	m.Rest = func() ([]byte, error) {
		if len(rest) == 0 {
			return nil, nil
		}
		piece := rest[0]
		rest = rest[1:]
		return piece, nil
	}

	encoder := format.JSON.NewEncoder()
	dst := encoder.Before(nil, m)
	for piece := m.Text; piece != nil; {
		dst = encoder.Text(dst, piece)
		var err error
		if piece, err = m.Rest(); err != nil {
			panic(err)
		}
	}
	dst = encoder.After(dst, m)
	fmt.Println(string(dst) == string(encoder.Append(nil, exampleMemory())))
	// Output: true
}
