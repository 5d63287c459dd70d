package devstack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// cacheDir returns the folder for programs that are built or downloaded once per user, and creates this
// folder when missing. The folder is named memexport and lies in the user's cache directory. If the user
// has no cache directory, the folder is .dev/bin in the working directory.
func cacheDir() (string, error) {
	var firstErr error
	if base, err := os.UserCacheDir(); err == nil {
		dir := filepath.Join(base, "memexport")
		if firstErr = os.MkdirAll(dir, 0o755); firstErr == nil {
			return dir, nil
		}
	}
	dir, err := filepath.Abs(filepath.Join(".dev", "bin"))
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		return "", fmt.Errorf("no folder to keep programs in (%w, %v): set XDG_CACHE_HOME to one that you can write to", err, firstErr)
	}
	return dir, nil
}

// cached returns path, which is a file or folder in the cache. If path does not exist, cached calls get,
// which builds or downloads the file or folder to the path out. Then cached renames out to path. So path
// is always either complete or missing. If several processes need the same path, only one calls get and
// the others wait. The parameter what names the program in messages.
func cached(ctx context.Context, path, what string, log logFunc, get func(out string) error) (string, error) {
	if found, err := exists(path); found || err != nil {
		return path, err
	}
	release, err := waitLock(ctx, path+".lock", func(since time.Duration) {
		log.printf("%s: another process is getting it, waiting (%v so far)", what, since)
	})
	if err != nil {
		return "", err
	}
	defer release()
	if found, err := exists(path); found || err != nil {
		return path, err
	}
	unfinished := path + ".unfinished" // no other process uses this path, because we hold the lock
	// A killed build may have left a partial file. go build refuses to overwrite a file that is not
	// a program.
	if err := os.RemoveAll(unfinished); err != nil {
		return "", err
	}
	if err := get(unfinished); err != nil {
		_ = os.RemoveAll(unfinished)
		return "", err
	}
	return path, os.Rename(unfinished, path)
}

func exists(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
