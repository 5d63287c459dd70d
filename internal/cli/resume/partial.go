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

// State is what a later process needs to continue a download. It contains no secret.
type State struct {
	// URL is the URL of the service. Request describes what was requested there.
	URL     string `json:"url"`
	Request string `json:"request"`
	// IdempotencyKey makes it safe to repeat the request. ExportID is the id of the export, once it
	// is known.
	IdempotencyKey string `json:"idempotency_key,omitempty"`
	ExportID       string `json:"export_id,omitempty"`
	// ETag is the ETag of the file that the bytes belong to.
	ETag string `json:"etag,omitempty"`
}

// Partial is a partial file. Its bytes are in PATH and its state is in PATH.json. The lock on
// PATH.lock prevents other processes from using it.
type Partial struct {
	State State

	path string
	file *os.File
	lock *flock.Flock
}

// ErrForeign means that the file exists but was not written by this package, or its state is lost.
var ErrForeign = errors.New("it exists, but its state cannot be read")

// ErrNotRegular means that the path of the partial file or of its state is, for example, a symbolic link.
var ErrNotRegular = errors.New("it exists, but is not a regular file; delete it")

// OpenPartial opens or creates the partial file at path, and reads the state of the file. A new file
// has the zero State. The error wraps ErrBusy if another process uses the file, ErrForeign if the state
// cannot be read, ErrNotRegular if the file is not a regular file, and fs.ErrNotExist if the directory does
// not exist.
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

// openPartial locks and opens the partial file at path. It does not read the state. If it creates the
// file, there is no state.
func openPartial(path string) (*Partial, error) {
	l, err := lock(path)
	if err != nil {
		return nil, err
	}
	p := &Partial{path: path, lock: l}
	// A state without a partial file is left if a process is killed in Finish or Remove. There is
	// nothing to continue, so delete the state. Do so before the file is created: after another kill,
	// the state would look like the state of the new file.
	if _, err = os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		err = removeIfExists(p.statePath())
	}
	if err == nil {
		p.file, err = openPrivate(path)
	}
	if err != nil {
		return nil, errors.Join(err, unlock(l))
	}
	return p, nil
}

// openPrivate opens or creates a file that only its owner can read and write, because memories are
// private. It does not follow a symbolic link, which may have been put there to get the memories, and
// returns ErrNotRegular.
func openPrivate(path string) (*os.File, error) {
	found, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	case err != nil:
		return nil, err
	case !found.Mode().IsRegular():
		return nil, fmt.Errorf("%s: %w", path, ErrNotRegular)
	}
	// With O_CREATE, Linux refuses to open a file of another user in a directory such as /tmp
	// (fs.protected_regular).
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	opened, err := file.Stat()
	if err == nil && !os.SameFile(found, opened) {
		err = fmt.Errorf("%s was replaced while it was opened; run the same command again", path)
	}
	if err == nil {
		// Others may have access to an existing file. A file system without modes, such as FAT, cannot change that.
		if err = file.Chmod(0o600); err != nil && !keepsModes(filepath.Dir(path)) {
			err = nil
		} else if err != nil { // it belongs to another user
			err = fmt.Errorf("%w; delete the file", err)
		}
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// keepsModes reports whether a new file in the directory gets the mode that it is created with.
func keepsModes(dir string) bool {
	file, err := os.CreateTemp(dir, ".memexport-*") // its mode is 0600
	if err != nil {
		return true
	}
	info, err := file.Stat()
	_, _ = file.Close(), os.Remove(file.Name()) // an empty file that stays does no harm
	return err != nil || info.Mode().Perm() == 0o600
}

// RemovePartial deletes the partial file at path and its state, even if they were not written by
// this package. The error wraps ErrBusy if another process uses the file, and ErrNotRegular if it is not a
// regular file.
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

// Size returns the number of bytes in the partial file.
func (p *Partial) Size() (int64, error) {
	info, err := p.file.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Save writes the state to disk. After a crash or an error, either the old or the new state is on
// disk.
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
		_ = os.Remove(p.newStatePath()) // ignore this error, since the first one says more
		return err
	}
	return syncDir(p.path)
}

// writeDurably writes a file that only its owner can read, and syncs it to disk.
func writeDurably(path string, content []byte) error {
	file, err := openPrivate(path)
	if err != nil {
		return err
	}
	err = file.Truncate(0)
	if err == nil {
		_, err = file.Write(content)
	}
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// Existing says what Finish does if the target exists.
type Existing int

const (
	Keep    Existing = iota // Finish fails with fs.ErrExist
	Replace                 // Finish replaces the file
)

// Finish renames the partial file to target and deletes the state. Because of the rename, nobody
// ever sees an incomplete file at target. If Finish fails, the partial file and its state stay for
// another run.
func (p *Partial) Finish(target string, existing Existing) error {
	if err := p.file.Sync(); err != nil {
		return err
	}
	if _, err := os.Lstat(target); err == nil && existing == Keep {
		return fmt.Errorf("%s: %w", target, fs.ErrExist)
	}
	// Close the file first, because Windows cannot rename an open file. The lock is still held.
	if err := p.file.Close(); err != nil {
		return err
	}
	if err := os.Rename(p.path, target); err != nil {
		if runtime.GOOS == "windows" { // Windows also cannot replace a file that is open
			err = fmt.Errorf("%w; close the program that has %s open, and run the same command again", err, target)
		}
		return err
	}
	if err := syncDir(target); err != nil {
		return err
	}
	return errors.Join(p.removeState(), unlock(p.lock))
}

// Remove closes the partial file and deletes it together with its state.
func (p *Partial) Remove() error {
	// Delete the state last. OpenPartial ignores a state without a file, but rejects a file without a
	// state.
	err := errors.Join(p.file.Close(), os.Remove(p.path))
	if err == nil {
		err = p.removeState()
	}
	return errors.Join(err, unlock(p.lock))
}

// removeState deletes the state. It also deletes the temporary file that remains if a process is killed
// in Save.
func (p *Partial) removeState() error {
	return errors.Join(removeIfExists(p.newStatePath()), removeIfExists(p.statePath()))
}

// removeIfExists deletes the file at path if there is one.
func removeIfExists(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Close leaves the partial file and its state for a later process. After Finish or Remove, Close does
// nothing.
func (p *Partial) Close() error {
	err := p.file.Close()
	if errors.Is(err, os.ErrClosed) {
		err = nil
	}
	return errors.Join(err, unlock(p.lock))
}

// syncDir syncs the directory of path, so that the file's name is on disk. Windows cannot sync a
// directory, but NTFS logs a rename by itself.
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
