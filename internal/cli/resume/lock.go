package resume

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"

	"github.com/gofrs/flock"
)

// ErrBusy means that another process is using the partial file.
var ErrBusy = errors.New("another process is downloading to it")

// lock locks the partial file at path, so that only one process uses it. It locks a separate file
// beside the partial file, because on Windows no other handle can write to a locked file.
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
		// After we opened the lock file, its previous owner may have deleted it. Another process
		// would then create and lock a new file. So check that the file that we have locked still
		// exists under this name.
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

// unlock releases a lock and deletes the lock file. A second call does nothing.
func unlock(l *flock.Flock) error {
	if !l.Locked() {
		return nil
	}
	if runtime.GOOS == "windows" {
		// Windows deletes a file only if no process has it open. So it is safe to delete the file after
		// unlocking it: a process that uses the lock has the file open.
		err := l.Unlock()
		_ = os.Remove(l.Path()) // it fails if another process has the file open
		return err
	}
	// On other systems, delete the lock file while it is still locked. After an unlock, another process
	// might already have locked it.
	return errors.Join(os.Remove(l.Path()), l.Unlock())
}
