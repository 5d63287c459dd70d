package datarow_test

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"

	"memexport/internal/service/datarow"
	"memexport/internal/workshop/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// The rows have short and long texts, because lib/pq reads all short messages into the same buffer, and allocates
// a buffer for each long one.
func TestTheOtherColumnsAreFoundBehindTheFirst(t *testing.T) {
	db := pgtest.Open(t, 1)
	result, err := db.QueryxContext(datarow.FirstColumn(t.Context()), `
		SELECT int8send(n), NULL::text, '', repeat('ä', n), '\x00ff'::bytea, 'de300000-0000-4000-8000-000000000001'::uuid, n, ARRAY['a', NULL], '{"k": 1}'::jsonb
		FROM unnest($1::int[]) n`, "{0,1,100,400,2000,70000,3}")
	if err != nil {
		t.Fatal(err)
	}
	defer result.Close()
	columns := make([][]byte, 8)
	for _, n := range []int{0, 1, 100, 400, 2000, 70000, 3} {
		if !result.Next() {
			t.Fatalf("no row for %d: %v", n, result.Err())
		}
		var first sql.RawBytes
		if err := result.Scan(&first); err != nil {
			t.Fatal(err)
		}
		if err := datarow.Columns(first, columns); err != nil {
			t.Fatal(err)
		}
		if columns[0] != nil || columns[1] == nil {
			t.Errorf("%d: NULL and the empty text are %v and %v", n, columns[0], columns[1])
		}
		want := fmt.Sprintf("%q", []string{"", strings.Repeat("ä", n), "\x00\xff", "\xde\x30\x00\x00\x00\x00\x40\x00\x80\x00\x00\x00\x00\x00\x00\x01",
			string([]byte{0, byte(n >> 16), byte(n >> 8), byte(n)}), "{a,NULL}", `{"k": 1}`})
		if got := fmt.Sprintf("%q", columns[1:]); got != want {
			t.Errorf("%d: the columns are\n%.300s\nwant\n%.300s", n, got, want)
		}
	}
	if result.Next() || result.Err() != nil {
		t.Errorf("a further row, or %v", result.Err())
	}
}

func TestOtherLayoutsAreRefused(t *testing.T) {
	for name, message := range map[string][]byte{
		"nothing":             {},
		"half a length":       {0, 0, 0},
		"a length beyond":     {0, 0, 0, 2, 'x'},
		"a negative length":   {0xff, 0xff, 0xff, 0xfe, 'x', 'x'},
		"a column is missing": {0, 0, 0, 1, 'x'},
	} {
		if err := datarow.Columns(message[:0:len(message)], make([][]byte, 2)); !errors.Is(err, datarow.ErrLayout) {
			t.Errorf("%s: %v", name, err)
		}
	}
	db := pgtest.Open(t, 1)
	var first sql.RawBytes
	result, err := db.QueryxContext(datarow.FirstColumn(t.Context()), `SELECT '\x00ff'::bytea, 'text'`) // as text, because it has no arguments
	if err != nil {
		t.Fatal(err)
	}
	defer result.Close()
	if !result.Next() || result.Scan(&first) != nil {
		t.Fatal(result.Err())
	}
	if err := datarow.Columns(first, make([][]byte, 1)); !errors.Is(err, datarow.ErrLayout) {
		t.Errorf("a bytea as text: %v", err)
	}
}
