package resume

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestTheStateSurvivesTheProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file.partial")
	p := open(t, path)
	p.State = State{URL: "https://example.com", Request: "POST format=csv", IdempotencyKey: "k", ExportID: "e", ETag: `"x"`}
	want := p.State
	if err := errors.Join(p.Save(), p.Close()); err != nil {
		t.Fatal(err)
	}
	p = open(t, path)
	if p.State != want {
		t.Errorf("the state is %+v, want %+v", p.State, want)
	}
	target := filepath.Join(filepath.Dir(path), "file")
	for _, there := range []string{target, path + ".json.new"} { // the second file is left if a process is killed in Save
		if err := os.WriteFile(there, []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Finish(target, Keep); !errors.Is(err, fs.ErrExist) {
		t.Errorf("an existing file was replaced: %v", err)
	}
	file(t, target, []byte("mine"))
	if err := p.Finish(target, Replace); err != nil {
		t.Fatal(err)
	}
	file(t, target, nil)
	left, err := filepath.Glob(path + "*")
	if err != nil || len(left) > 0 {
		t.Errorf("after Finish there still are %v, %v", left, err)
	}
}

func TestAStateWithoutAFileIsNotContinued(t *testing.T) {
	for name, end := range map[string]func(p *Partial, target string) error{
		"Finish": func(p *Partial, target string) error { return p.Finish(target, Replace) },
		"Remove": func(p *Partial, _ string) error { return p.Remove() },
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "file.partial")
		p := open(t, path)
		p.State = State{URL: "https://example.com", Request: "POST format=csv", IdempotencyKey: "k", ExportID: "e"}
		if err := p.Save(); err != nil {
			t.Fatal(err)
		}
		state, err := os.ReadFile(path + ".json")
		if err != nil {
			t.Fatal(err)
		}
		if err := end(p, filepath.Join(dir, "file")); err != nil {
			t.Fatal(err)
		}
		// Pretend that the process was killed before it deleted the state.
		if err := os.WriteFile(path+".json", state, 0o600); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second process finds the file that the first one created, and no state
			p = open(t, path)
			if p.State != (State{}) {
				t.Errorf("after a kill in %s, the state is %+v", name, p.State)
			}
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestAPartialFileThatCannotBeDeletedKeepsItsState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file.partial")
	p := open(t, path)
	if err := p.Save(); err != nil {
		t.Fatal(err)
	}
	// A directory with a file in it cannot be deleted.
	if err := errors.Join(os.Remove(path), os.MkdirAll(filepath.Join(path, "file"), 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := p.Remove(); err == nil {
		t.Error("the partial file was deleted")
	}
	if _, err := os.Stat(path + ".json"); err != nil {
		t.Error(err)
	}
}

func TestAForeignPartialFileIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file.partial")
	for _, state := range []string{"", "{broken"} {
		if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		if state != "" {
			if err := os.WriteFile(path+".json", []byte(state), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := OpenPartial(path); !errors.Is(err, ErrForeign) {
			t.Errorf("a file with the state %q was opened: %v", state, err)
		}
		file(t, path, []byte("mine"))
	}
	if err := RemovePartial(path); err != nil {
		t.Fatal(err)
	}
	open(t, path)
}

func TestAFailedSaveLeavesTheOldState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file.partial")
	p := open(t, path)
	if err := os.Mkdir(path+".json", 0o700); err != nil { // a file cannot be renamed to a directory, so saving the state fails
		t.Fatal(err)
	}
	if err := p.Save(); err == nil {
		t.Error("a state was saved over a directory")
	}
	if _, err := os.Stat(path + ".json.new"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the new state was left behind: %v", err)
	}
}
