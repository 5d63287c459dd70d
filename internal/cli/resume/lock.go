package resume

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"

	"github.com/gofrs/flock"
)

// ErrBusy means that another process has the partial file.
var ErrBusy = errors.New("another process is downloading to it")

// lock gives one process at a time the partial file at path. The lock is a file of its own, because
// on Windows nobody can write to a file that another handle has locked.
func lock(path string) (*flock.Flock, error) {
	for {
		l := flock.New(path+".lock", flock.SetFlag(os.O_CREATE|os.O_RDWR))
		locked, err := l.TryLock()
		if err != nil {
			return nil, err
		}
		if !locked {
			return nil, fmt.Errorf("%s: %w", path, ErrBusy)
		}
		// The process that had the lock before may have removed the file after we opened it. Then the
		// next process would lock a new file, so the lock counts only while the file has its name.
		opened, err := l.Stat()
		if err == nil {
			var named os.FileInfo
			if named, err = os.Stat(l.Path()); err == nil && os.SameFile(opened, named) {
				return l, nil
			}
		}
		if unlockErr := l.Unlock(); unlockErr != nil || err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, errors.Join(err, unlockErr)
		}
	}
}

// unlock releases a lock and removes its file. A second call does nothing.
func unlock(l *flock.Flock) error {
	if !l.Locked() {
		return nil
	}
	if runtime.GOOS == "windows" {
		// Windows removes a file only when no process has it open, so that removing it after the
		// unlock takes the file from nobody.
		err := l.Unlock()
		_ = os.Remove(l.Path()) // fails if the next process has it open
		return err
	}
	// Elsewhere the file goes while it is locked: removed later, it might be the next process's.
	return errors.Join(os.Remove(l.Path()), l.Unlock())
}
