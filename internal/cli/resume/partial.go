package resume

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/gofrs/flock"
)

// State is what a later process must know to continue a download. It holds no secret.
type State struct {
	// URL is the address of the service, and Request what was asked of it.
	URL     string `json:"url"`
	Request string `json:"request"`
	// IdempotencyKey makes repeating the request safe. ExportID names the export once it is known.
	IdempotencyKey string `json:"idempotency_key,omitempty"`
	ExportID       string `json:"export_id,omitempty"`
	// ETag is the validator of the file that the partial file is the beginning of.
	ETag string `json:"etag,omitempty"`
}

// Partial is an unfinished file. Its bytes are in PATH, its state is in PATH.json, and PATH.lock keeps
// other processes away.
type Partial struct {
	State State

	path string
	file *os.File
	lock *flock.Flock
}

// ErrForeign means that the partial file was not left by a download, or that its state is lost.
var ErrForeign = errors.New("it exists, but its state cannot be read")

// OpenPartial opens or creates the partial file at path and reads its state, which is zero for a new
// file. The error wraps ErrBusy if another process has the file, ErrForeign if its state cannot be
// read, and fs.ErrNotExist if the directory does not exist.
func OpenPartial(path string) (*Partial, error) {
	p, err := openPartial(path)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(p.statePath())
	if err == nil {
		err = json.Unmarshal(text, &p.State)
	}
	if err == nil {
		return p, nil
	}
	if size, sizeErr := p.Size(); errors.Is(err, fs.ErrNotExist) && sizeErr == nil && size == 0 {
		return p, nil
	}
	return nil, errors.Join(fmt.Errorf("%s: %w", path, ErrForeign), p.Close())
}

// openPartial locks and opens the partial file at path. It does not read the state.
func openPartial(path string) (*Partial, error) {
	l, err := lock(path)
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return nil, errors.Join(err, unlock(l))
	}
	return &Partial{path: path, file: file, lock: l}, nil
}

// RemovePartial removes a partial file and its state, whoever made them. The error wraps ErrBusy if
// another process has the file.
func RemovePartial(path string) error {
	p, err := openPartial(path)
	if err != nil {
		return err
	}
	return p.Remove()
}

func (p *Partial) statePath() string    { return p.path + ".json" }
func (p *Partial) newStatePath() string { return p.statePath() + ".new" }

// Path returns the path of the partial file.
func (p *Partial) Path() string { return p.path }

// Size returns the number of bytes that the partial file has.
func (p *Partial) Size() (int64, error) {
	info, err := p.file.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Save writes the state. After a crash or an error, either the old or the new state is on disk.
func (p *Partial) Save() error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(p.State); err != nil {
		return err
	}
	err := writeDurably(p.newStatePath(), text.Bytes())
	if err == nil {
		err = os.Rename(p.newStatePath(), p.statePath())
	}
	if err != nil {
		_ = os.Remove(p.newStatePath()) // the first error says more
		return err
	}
	return syncDir(p.path)
}

// writeDurably writes a file that only its owner can read, and waits until it is on disk.
func writeDurably(path string, content []byte) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// Existing says what Finish does with a file that already has the target's name.
type Existing int

const (
	Keep    Existing = iota // Finish fails with fs.ErrExist
	Replace                 // Finish replaces the file
)

// Finish renames the partial file to target, so that readers see the whole file or none, and removes
// the state. If it fails, the partial file and its state stay for another run.
func (p *Partial) Finish(target string, existing Existing) error {
	if err := p.file.Sync(); err != nil {
		return err
	}
	if _, err := os.Lstat(target); err == nil && existing == Keep {
		return fmt.Errorf("%s: %w", target, fs.ErrExist)
	}
	// Windows does not rename an open file. The lock is held until the end.
	if err := p.file.Close(); err != nil {
		return err
	}
	if err := os.Rename(p.path, target); err != nil {
		if runtime.GOOS == "windows" { // it does not replace an open file either
			err = fmt.Errorf("%w; close the program that has %s open, and run the same command again", err, target)
		}
		return err
	}
	if err := syncDir(target); err != nil {
		return err
	}
	return errors.Join(p.removeState(), unlock(p.lock))
}

// Remove closes the partial file and removes it with its state.
func (p *Partial) Remove() error {
	return errors.Join(p.file.Close(), p.removeState(), os.Remove(p.path), unlock(p.lock))
}

// removeState removes the state, and the new one that a process killed in Save leaves.
func (p *Partial) removeState() error {
	for _, path := range []string{p.newStatePath(), p.statePath()} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Close leaves the partial file and its state for a later process. It does nothing after Finish or
// Remove.
func (p *Partial) Close() error {
	err := p.file.Close()
	if errors.Is(err, os.ErrClosed) {
		err = nil
	}
	return errors.Join(err, unlock(p.lock))
}

// syncDir makes the name of a file durable. Windows has no such call for directories: there NTFS
// logs a rename by itself.
func syncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
