//go:build readers

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestReaders reads exports back with third-party programs and libraries, which tools/readers runs. It
// needs npm, Go and jq.
func TestReaders(t *testing.T) {
	s := sharedStack(t)
	dir := t.TempDir()
	times := []string{"0001-01-01T00:00:00.000000Z", "1969-12-31T23:59:59.999999Z", "2024-02-29T12:00:00.000001Z", "9999-12-31T23:59:59.999999Z"}
	oversize := strings.Repeat("An \"oversize\" text,\r\nwith [everything] <in> it \\ 日本語.\n", 150_000) // 9 MB; the worker reads a text of this size in several pieces

	hostile := s.newTenant(t)
	insert(t, s.db, awkwardMemories(hostile.workspace, append(awkward, oversize), times))
	execute(t, s.db, `INSERT INTO memories (id, memory, priority, status, categories, workspace_id, created_at, updated_at, last_accessed_at)
		SELECT gen_random_uuid(), 'beyond', 'LOW', 'COMPLETED', '{{a,b},{c,NULL}}', $1::uuid, t::timestamptz, t::timestamptz, t::timestamptz
		FROM unnest(ARRAY['infinity', '-infinity', '294276-12-31', '10000-01-01', '4713-01-01 BC', '0001-12-31 BC']) t`, hostile.workspace)
	one := s.newTenant(t)
	insert(t, s.db, awkwardMemories(one.workspace, []string{"one"}, times)[:1])
	large := s.newTenant(t)
	generate(t, s.db, large.workspace, 40_000, 3300) // enough for a few row groups
	corpus := s.newTenant(t)
	insert(t, s.db, readCorpus(t, corpus.workspace))

	var address string
	for name, tenant := range map[string]tenant{"empty": s.newTenant(t), "one": one, "hostile": hostile, "large": large, "corpus": corpus} {
		for _, format := range []string{"ndjson", "parquet", "csv", "json"} {
			e := tenant.ready(t, tenant.create(t, "format="+format).ID, 2*time.Minute)
			path := "/v1/exports/" + e.ID + "/download"
			file := tenant.do(t, "GET", path).want(t, 200).body
			if err := os.WriteFile(filepath.Join(dir, name+"."+format), file, 0o600); err != nil {
				t.Fatal(err)
			}
			if name == "large" && format == "parquet" {
				address = s.url + path
			}
			// The readers compare the files in the other formats with the NDJSON file, so compare the NDJSON
			// file with the table. The workspace hostile has times that checkFile cannot check.
			if format == "ndjson" && name != "hostile" {
				checkFile(t, tenant.client, e, table(t, s.db, tenant.workspace, ""))
			}
		}
	}
	for _, command := range [][]string{
		{"npm", "test"},
		{"go", "run", ".", dir},
		{"jq", "-es", "length == 40000", filepath.Join(dir, "large.ndjson")},
	} {
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Dir = filepath.Join("..", "tools", "readers")
		cmd.Env = append(os.Environ(), "READERS_DIR="+dir, "READERS_URL="+address, "READERS_KEY="+large.key)
		out, err := cmd.CombinedOutput()
		t.Logf("%s\n%s", strings.Join(command, " "), out)
		if err != nil {
			t.Errorf("%s: %v", command, err)
		}
	}
}
