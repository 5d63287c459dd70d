package remote

import (
	"os"
	"path/filepath"
	"testing"

	"memexport/internal/cli/progress"
)

func TestOnlyNamesThatEverySystemCanStoreAreTakenFromTheServer(t *testing.T) {
	for name, want := range map[string]bool{
		"memories-20260131-0198c2a4.csv": true,
		"Erinnerungen für März.md":       true,
		"console.json":                   true,
		"":                               false,
		".":                              false,
		"..":                             false,
		".bashrc":                        false,
		"../memories.csv":                false,
		"a/b.csv":                        false,
		`a\b.csv`:                        false,
		"/etc/passwd":                    false,
		`C:\memories.csv`:                false,
		"memories.csv:stream":            false,
		"what?.csv":                      false,
		"a*.csv":                         false,
		"<a>.csv":                        false,
		"NUL":                            false,
		"con.csv":                        false,
		"lpt1.tar.gz":                    false,
		"memories.":                      false,
		"memories ":                      false,
		"mem\x00ories":                   false,
		"mem\nories":                     false,
		"mem\x1bories":                   false,
		"mem\u202eories.csv":             false,
	} {
		if got := safeName(name); got != want {
			t.Errorf("safeName(%q) is %t, want %t", name, got, want)
		}
	}
}

func TestARunThatCannotSaveItsStateLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	svc, err := New(Options{URL: "http://127.0.0.1:1", Report: progress.Silent()})
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out.json")
	if err := os.Mkdir(out+".partial.json.new", 0o700); err != nil { // the state cannot be written to this path, because it is a directory
		t.Fatal(err)
	}
	if _, err := svc.Save(t.Context(), Job{Output: out}); err == nil {
		t.Error("the run went on without its state")
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("the run left %v, %v", left, err)
	}
}
