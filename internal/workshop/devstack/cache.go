package devstack

import (
	"fmt"
	"os"
	"path/filepath"
)

// cacheDir returns the folder, which exists, for programs that are made or fetched once per user:
// memexport in the user's cache, else .dev/bin in the working directory.
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
