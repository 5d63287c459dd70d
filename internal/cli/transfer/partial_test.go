package transfer

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestTheStateOutlivesTheProcess(t *testing.T) {
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
	for _, there := range []string{target, path + ".json.new"} { // the second is of a process that was killed while it saved
		if err := os.WriteFile(there, []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Finish(target, false); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a file that was there was overwritten: %v", err)
	}
	file(t, target, []byte("mine"))
	if err := p.Finish(target, true); err != nil {
		t.Fatal(err)
	}
	file(t, target, nil)
	left, err := filepath.Glob(path + "*")
	if err != nil || len(left) > 0 {
		t.Errorf("after the end there still is %v, %v", left, err)
	}
}

func TestAPartialFileIsOneProcesss(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file.partial")
	p := open(t, path)
	if _, err := OpenPartial(path); !errors.Is(err, ErrBusy) {
		t.Errorf("a second one: %v", err)
	}
	if err := RemovePartial(path); !errors.Is(err, ErrBusy) {
		t.Errorf("removing it: %v", err)
	}
	if err := p.Finish(filepath.Join(filepath.Dir(path), "file"), false); err != nil {
		t.Fatal(err)
	}
	open(t, path)
}

func TestAFileThatSomebodyElseMadeIsLeftAlone(t *testing.T) {
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
