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

// cacheDir returns the folder, which exists, for programs that are made or fetched once per user:
// memexport in the user's cache, or .dev/bin in the working directory if there is no such cache.
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

// cached returns path, a file or a folder in the cache. If it is missing, get makes or fetches it at
// another path and cached renames it, so that path is complete or absent. When several processes need
// it at the same time, one of them gets it. what names it in messages.
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
	unfinished := path + ".unfinished" // the lock makes it ours alone
	// go build refuses to overwrite a file that is not a program, such as the rest of a killed build.
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
