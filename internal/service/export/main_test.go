package export_test

import (
	"crypto/sha256"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"memexport/internal/service/archive"
	"memexport/internal/service/export"
	"memexport/internal/service/memory"
	"memexport/internal/workshop/pgtest"
)

const (
	tenant   = "7f3b6c1e-9f0a-4c5e-8d57-0d9f6f7a1b22"
	stranger = "7f3b6c1e-9f0a-4c5e-8d57-0d9f6f7a1b23"
)

func TestMain(m *testing.M) { pgtest.Main(m, pgtest.Migrate) }

func open(t *testing.T) (*export.Store, *sqlx.DB) {
	t.Helper()
	db := pgtest.Open(t, 8)
	return export.NewStore(db), db
}

func create(t *testing.T, s *export.Store) export.Export {
	t.Helper()
	e, err := s.Create(t.Context(), export.Export{WorkspaceID: tenant, Format: "json"})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// plan has two ranges of 100 memories each.
var plan = []memory.PlannedRange{
	{Range: memory.Range{First: memory.Key{CreatedAt: memory.NegativeInfinity, ID: uuid.Nil.String()}, Last: memory.Key{CreatedAt: -5, ID: uuid.Max.String()}, Position: 1<<62 + 1}, Estimate: 100},
	{Range: memory.Range{First: memory.Key{CreatedAt: 0, ID: uuid.Nil.String()}, Last: memory.Key{CreatedAt: memory.Infinity, ID: uuid.Max.String()}}, Estimate: 100},
}

// part returns a part of ten memories. Different attempts at the same part store it as different
// objects.
func part(rangeNumber, number int, object string) export.Part {
	return export.Part{
		Part:  archive.Part{Object: object, Size: 1 << 40, Checksum: 1<<63 + 5, Continues: number%2 == 1, Separated: number%2 == 0, CompressedSize: int64(number) << 33, CRC: 1<<31 + 7},
		Range: rangeNumber, Number: number, Memories: 10, Last: memory.Key{CreatedAt: memory.Infinity - memory.Time(number), ID: tenant},
	}
}

var digest = sha256.Sum256([]byte("the file"))

var file = export.File{Parts: 1, Memories: 10, Size: 1234, SHA256: digest[:], Object: "exports/x/file"}

const retention = 72 * time.Hour

// in makes an export and takes it through legal transitions to a status.
func in(t *testing.T, s *export.Store, status export.Status) export.Export {
	t.Helper()
	e := create(t, s)
	step := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	if status == export.Processing || status == export.Ready || status == export.Expired {
		_, err := s.Start(t.Context(), e.ID, plan)
		step(err)
		step(s.Record(t.Context(), e.ID, "", []export.Part{part(0, 0, "a")}))
	}
	if status == export.Ready || status == export.Expired {
		_, err := s.Publish(t.Context(), e.ID, file, retention)
		step(err)
	}
	switch status {
	case export.Failed:
		step(s.Fail(t.Context(), e.ID, export.Failures[export.CodeTimedOut]))
	case export.Expired:
		step(s.Expire(t.Context(), e.ID))
	}
	found := find(t, s, e.ID)
	if found.Status != status {
		t.Fatalf("the status is %s, want %s", found.Status, status)
	}
	return found
}

func find(t *testing.T, s *export.Store, id string) export.Export {
	t.Helper()
	e, err := s.Find(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// row returns everything that the database holds about an export, for comparison.
func row(t *testing.T, db *sqlx.DB, id string) string {
	t.Helper()
	var text string
	err := db.Get(&text, `SELECT e::text || coalesce((SELECT string_agg(r::text, ';' ORDER BY range) FROM memexport.export_ranges r WHERE export_id = e.id), '') ||
		coalesce((SELECT string_agg(p::text, ';' ORDER BY range, part) FROM memexport.export_parts p WHERE export_id = e.id), '')
		FROM memexport.exports e WHERE id = $1`, id)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s is %s, want %s", what, fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want))
	}
}
