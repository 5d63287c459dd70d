package transfer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// State is what a later process has to know to go on with a download. It holds no secret.
type State struct {
	// URL is the address of the service, Request what was asked of it.
	URL     string `json:"url"`
	Request string `json:"request"`
	// IdempotencyKey makes repeating the request safe; ExportID is what came of it, once known.
	IdempotencyKey string `json:"idempotency_key,omitempty"`
	ExportID       string `json:"export_id,omitempty"`
	// ETag is the validator of the file that the partial file is the beginning of.
	ETag string `json:"etag,omitempty"`
}

// Partial is the file that a download grows in, PATH, and its state, PATH.json. One process at a
// time has it.
type Partial struct {
	State State

	path string
	file *os.File // locked
}

// The reasons for which a partial file cannot be used.
var (
	ErrBusy    = errors.New("another process is downloading to it")
	ErrForeign = errors.New("it is there without a state that can be read")
)

// OpenPartial opens or creates the partial file at path and reads its state, which is zero for a
// new one.
func OpenPartial(path string) (*Partial, error) {
	file, err := openLocked(path)
	if err != nil {
		return nil, err
	}
	p := &Partial{path: path, file: file}
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
	file.Close()
	return nil, fmt.Errorf("%s: %w", path, ErrForeign)
}

// openLocked opens a file and locks it. The file may have been renamed or removed in between, by
// the process that had the lock before: then the lock is on something else, and the next one counts.
func openLocked(path string) (*os.File, error) {
	for {
		file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o666)
		if err != nil {
			return nil, err
		}
		for err = syscall.EINTR; errors.Is(err, syscall.EINTR); {
			err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		}
		if err != nil {
			file.Close()
			if errors.Is(err, syscall.EWOULDBLOCK) {
				err = ErrBusy
			}
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		opened, err := file.Stat()
		if err == nil {
			var there os.FileInfo
			if there, err = os.Stat(path); err == nil && os.SameFile(opened, there) {
				return file, nil
			}
		}
		file.Close()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
}

// RemovePartial removes a partial file and its state, whatever they are, unless a process has them.
func RemovePartial(path string) error {
	file, err := openLocked(path)
	if err != nil {
		return err
	}
	p := &Partial{path: path, file: file}
	return p.Remove()
}

func (p *Partial) statePath() string     { return p.path + ".json" }
func (p *Partial) nextStatePath() string { return p.statePath() + ".new" }

// Path is where the partial file is.
func (p *Partial) Path() string { return p.path }

// Size is how many bytes there are so far.
func (p *Partial) Size() (int64, error) {
	info, err := p.file.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Save writes the state, such that after a crash either the old or the new one is there.
func (p *Partial) Save() error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(p.State); err != nil {
		return err
	}
	file, err := os.OpenFile(p.nextStatePath(), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text.Bytes())
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(p.nextStatePath(), p.statePath()); err != nil {
		return err
	}
	return syncDir(p.path)
}

// Finish makes the partial file the target, at once and for good: whoever looks sees all of it or
// none. Without force an existing target is left alone: the error is fs.ErrExist.
func (p *Partial) Finish(target string, force bool) error {
	if err := p.file.Sync(); err != nil {
		return err
	}
	if _, err := os.Lstat(target); err == nil && !force {
		return fmt.Errorf("%s: %w", target, fs.ErrExist)
	}
	if err := os.Rename(p.path, target); err != nil {
		return err
	}
	if err := syncDir(target); err != nil {
		return err
	}
	return errors.Join(p.removeState(), p.file.Close())
}

// Remove removes the partial file and its state, and closes it.
func (p *Partial) Remove() error {
	return errors.Join(p.removeState(), os.Remove(p.path), p.file.Close())
}

func (p *Partial) removeState() error {
	for _, path := range []string{p.nextStatePath(), p.statePath()} { // a kill in Save leaves the first
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Close leaves everything for a later process.
func (p *Partial) Close() error { return p.file.Close() }

// syncDir makes the name of a file in its directory durable.
func syncDir(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
