package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	embedded "github.com/fergusstrange/embedded-postgres"
)

const (
	fetchVersion = embedded.V17
	fetchMajor   = "17"
)

// fetchFrom is where the archive comes from: "" for the library's own choice. Tests set it.
var fetchFrom = ""

// fetchPostgres returns the Postgres in the cache, which it downloads when it is not there.
func fetchPostgres(ctx context.Context, runAs *account, log logFunc) (binaries, error) {
	cache, err := fetchCache(runAs)
	if err != nil {
		return binaries{}, err
	}
	dir := filepath.Join(cache, "postgres-"+string(fetchVersion))
	b := binaries{postgres: filepath.Join(dir, "bin", "postgres"), initdb: filepath.Join(dir, "bin", "initdb"), major: fetchMajor}
	release, err := waitLock(ctx, dir+".lock", func(since time.Duration) {
		log("postgres: another process downloads it, waiting (%v so far)", since)
	})
	if err != nil {
		return binaries{}, err
	}
	defer release()
	if _, err := os.Stat(b.initdb); err == nil {
		return b, nil
	}
	log("postgres: not installed here, downloading PostgreSQL %s into %s", fetchVersion, cache)
	if err := download(ctx, cache, dir); err != nil {
		return binaries{}, fmt.Errorf("postgres is not installed here, and downloading it failed (%w): "+
			"`apt-get install postgresql`, or put the folder of postgres and initdb on PATH", err)
	}
	return b, nil
}

// download unpacks the archive beside dir and renames it, so that dir is whole or absent.
func download(ctx context.Context, cache, dir string) error {
	work, err := os.MkdirTemp(cache, "postgres-download-")
	if err != nil {
		return err
	}
	unpacked := filepath.Join(work, "postgres")
	done := make(chan error, 1)
	go func() {
		defer os.RemoveAll(work)
		if err := unpack(work, unpacked); err != nil {
			done <- err
			return
		}
		done <- os.Rename(unpacked, dir)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx) // the library takes no context: what it still does goes to work
	}
}

// unpack has the library download, check and unpack its archive. The library only does that as
// part of a start, so it gets a data directory that looks like a cluster and cannot be started.
func unpack(work, unpacked string) error {
	data := filepath.Join(work, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte(fetchMajor+"\n"), 0o600); err != nil {
		return err
	}
	port, err := portRequest{of: "Postgres"}.pick(context.Background())
	if err != nil {
		return err
	}
	config := embedded.DefaultConfig().Version(fetchVersion).Port(uint32(port)).Logger(io.Discard).
		CachePath(filepath.Join(work, "archive")).RuntimePath(filepath.Join(work, "runtime")).
		BinariesPath(unpacked).DataPath(data)
	if fetchFrom != "" {
		config = config.BinaryRepositoryURL(fetchFrom)
	}
	err = embedded.NewDatabase(config).Start()
	if err == nil || !strings.HasPrefix(err.Error(), "could not start postgres") {
		return errors.Join(err, errors.New("the archive could not be unpacked"))
	}
	_, err = os.Stat(filepath.Join(unpacked, "bin", "initdb"))
	return err
}

// fetchCache is where downloads are kept: readable by the user that Postgres runs as, and not
// writable by anybody but us, since we run what is in it.
func fetchCache(runAs *account) (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", fmt.Errorf("the cache for Postgres: %w", err)
	}
	if runAs.reaches(cache) {
		return cache, nil
	}
	cache = "/usr/local/lib/memexport" // only root has a runAs, and it can write there
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("the cache for Postgres: %w", err)
	}
	return cache, nil
}
