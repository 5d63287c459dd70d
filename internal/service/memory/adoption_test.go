package memory_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"memexport/internal/service/format"
	"memexport/internal/service/memory"
	"memexport/internal/workshop/pgtest"
)

// adoption is a database in which a test runs the SQL of docs/adopting.md.
type adoption struct {
	*testing.T
	url    string
	db     *sqlx.DB
	blocks map[string]string
}

func newAdoption(t *testing.T) *adoption {
	t.Helper()
	a := &adoption{T: t, url: pgtest.New(t), blocks: map[string]string{}}
	a.db = pgtest.OpenURL(t, a.url, 2)
	for _, m := range regexp.MustCompile("(?s)```sql\n-- (.*?)\n(.*?)```").FindAllStringSubmatch(readPage(t), -1) {
		a.blocks[m[1]] = m[2]
	}
	return a
}

func readPage(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile(adoptingPage)
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

// run executes the blocks with these names.
func (a *adoption) run(names ...string) {
	a.Helper()
	for _, name := range names {
		if a.blocks[name] == "" {
			a.Fatalf("%s has no block %q", adoptingPage, name)
		}
		a.exec(a.blocks[name])
	}
}

func (a *adoption) exec(statements string) {
	a.Helper()
	if _, err := a.db.Exec(statements); err != nil {
		a.Fatalf("%v\n%s", err, statements)
	}
}

func (a *adoption) source(db *sqlx.DB, table string) *memory.Source {
	a.Helper()
	s, err := memory.NewSource(db, table, memory.SourceOptions{})
	if err != nil {
		a.Fatal(err)
	}
	return s
}

// export returns a file with the workspace's memories, read through the view.
func (a *adoption) export(db *sqlx.DB, f *format.Format) string {
	a.Helper()
	s := a.source(db, view)
	if err := s.Check(a.Context()); err != nil {
		a.Fatal(err)
	}
	q := memory.Query{WorkspaceID: workspace}
	ranges, err := s.Plan(a.Context(), q)
	if err != nil {
		a.Fatal(err)
	}
	var file []byte
	encoder := f.NewEncoder()
	for _, r := range ranges {
		err := s.Read(a.Context(), q, r.Range, nil, func(m *memory.Memory) error {
			if len(file) > 0 {
				file = append(file, f.Separator...)
			}
			file = encoder.Append(file, m)
			return nil
		})
		if err != nil {
			a.Fatal(err)
		}
	}
	return f.Prefix + string(file) + f.Suffix
}

// wantFiles checks that the JSON file equals want, apart from white space, and that the CSV and Markdown files
// contain the same texts.
func (a *adoption) wantFiles(want string) {
	a.Helper()
	var memories []map[string]any
	if err := json.Unmarshal([]byte(want), &memories); err != nil {
		a.Fatal(err)
	}
	var got, expected bytes.Buffer
	for buffer, text := range map[*bytes.Buffer]string{&got: a.export(a.db, format.JSON), &expected: want} {
		if err := json.Indent(buffer, []byte(text), "", " "); err != nil {
			a.Fatal(err)
		}
	}
	if strings.TrimSpace(got.String()) != strings.TrimSpace(expected.String()) {
		a.Errorf("exported\n%s\nwant\n%s", &got, &expected)
	}
	rows, err := csv.NewReader(strings.NewReader(a.export(a.db, format.CSV))).ReadAll()
	if err != nil || len(rows) != 1+len(memories) {
		a.Fatalf("%d rows of CSV: %v", len(rows), err)
	}
	markdown := a.export(a.db, format.Markdown)
	for i, m := range memories {
		for j, column := range memory.Columns {
			value, isText := m[column].(string)
			if isText && rows[1+i][j] != value {
				a.Errorf("CSV has the %s %q, want %q", column, rows[1+i][j], value)
			}
			if isText && !strings.Contains(markdown, value) {
				a.Errorf("Markdown lacks the %s %q", column, value)
			}
		}
	}
}

// wantIndexed checks that Postgres plans to read a page along an index, without a sort.
func (a *adoption) wantIndexed() {
	a.Helper()
	tx, err := a.db.Begin()
	if err != nil {
		a.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.Exec(`SET LOCAL enable_sort = off; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off`); err != nil {
		a.Fatal(err)
	}
	rows, err := tx.Query(a.blocks["the plan of a page"])
	if err != nil {
		a.Fatal(err)
	}
	defer rows.Close()
	var plan, line string
	for rows.Next() {
		if err := rows.Scan(&line); err != nil {
			a.Fatal(err)
		}
		plan += line + "\n"
	}
	if rows.Err() != nil || !strings.Contains(plan, "Index Scan") || strings.Contains(plan, "Sort") || strings.Contains(plan, "Filter") {
		a.Errorf("the plan of a page, %v:\n%s", rows.Err(), plan)
	}
}

// wantUnexportable runs the block "rows that cannot be exported" and checks how many rows it finds.
func (a *adoption) wantUnexportable(want int) {
	a.Helper()
	var got int
	if err := a.db.Get(&got, a.blocks["rows that cannot be exported"]); err != nil || got != want {
		a.Errorf("%d rows cannot be exported, want %d: %v", got, want, err)
	}
}

// readAll plans an export of the view and reads all of its ranges.
func (a *adoption) readAll() error {
	a.Helper()
	q := memory.Query{WorkspaceID: workspace}
	s := a.source(a.db, view)
	ranges, err := s.Plan(a.Context(), q)
	if err != nil {
		return err
	}
	for _, r := range ranges {
		if err := s.Read(a.Context(), q, r.Range, nil, func(*memory.Memory) error { return nil }); err != nil {
			return err
		}
	}
	return nil
}

func databaseName(a *adoption) string {
	a.Helper()
	var name string
	if err := a.db.Get(&name, `SELECT current_database()`); err != nil {
		a.Fatal(err)
	}
	return pq.QuoteIdentifier(name)
}

// withRole returns the URL of a database with the option that makes connections act as the role.
func withRole(url, role string) string {
	separator := "?"
	if strings.Contains(url, "?") {
		separator = "&"
	}
	return url + separator + "role=" + role
}
