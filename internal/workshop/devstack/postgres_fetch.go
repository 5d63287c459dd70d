package devstack

import (
	"cmp"
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

// fetchPostgres returns the Postgres in the cache. If the cache has none, fetchPostgres downloads one from
// the server at the URL archives. If archives is empty, it uses the default server of the
// embedded-postgres library.
func fetchPostgres(ctx context.Context, runAs *account, archives string, log logFunc) (binaries, error) {
	cache, err := fetchCache(runAs)
	if err != nil {
		return binaries{}, err
	}
	dir, err := cached(ctx, filepath.Join(cache, "postgres-"+string(fetchVersion)), "postgres", log, func(out string) error {
		log.printf("postgres: not installed here, downloading PostgreSQL %s into %s", fetchVersion, cache)
		return downloadPostgres(ctx, archives, cache, out, log)
	})
	if err != nil {
		return binaries{}, fmt.Errorf("postgres is not installed here, and downloading it failed (%w): "+
			"`apt-get install postgresql`, or put the folder of postgres and initdb on PATH", err)
	}
	return binaries{postgres: filepath.Join(dir, "bin", "postgres"), initdb: filepath.Join(dir, "bin", "initdb"), major: fetchMajor}, nil
}

// downloadPostgres downloads the archive and unpacks it to out. The library takes no context and has no
// time limit, so a download over a network that hangs never ends. Therefore a message every 15 seconds
// says that the download is still running. If ctx ends, downloadPostgres returns, but the download goes on
// in a folder of its own until it fails or this process ends.
func downloadPostgres(ctx context.Context, archives, cache, out string, log logFunc) error {
	work, err := os.MkdirTemp(cache, "postgres-download-")
	if err != nil {
		return err
	}
	unpacked, done := filepath.Join(work, "postgres"), make(chan error, 1)
	go func() {
		defer os.RemoveAll(work)
		err := cmp.Or(unpack(work, unpacked, archives), context.Cause(ctx))
		if err == nil {
			err = os.Rename(unpacked, out)
		}
		done <- err
	}()
	began, tick := time.Now(), time.NewTicker(15*time.Second)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
			log.printf("postgres: still downloading (%v); if the network hangs, press Ctrl-C and `apt-get install postgresql`",
				time.Since(began).Round(time.Second))
		}
	}
}

// unpack makes the library download, verify and unpack its archive. The library does that only when
// it starts a server, so unpack gives it a data directory that looks real but from which no server
// can start.
func unpack(work, unpacked, archives string) error {
	data := filepath.Join(work, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte(fetchMajor+"\n"), 0o600); err != nil {
		return err
	}
	port, err := portRequest{server: "Postgres"}.pick(context.Background())
	if err != nil {
		return err
	}
	config := embedded.DefaultConfig().Version(fetchVersion).Port(uint32(port)).Logger(io.Discard).
		CachePath(filepath.Join(work, "archive")).RuntimePath(filepath.Join(work, "runtime")).
		BinariesPath(unpacked).DataPath(data)
	if archives != "" {
		config = config.BinaryRepositoryURL(archives)
	}
	err = embedded.NewDatabase(config).Start()
	if err == nil || !strings.HasPrefix(err.Error(), "could not start postgres") {
		return errors.Join(err, errors.New("the archive could not be unpacked"))
	}
	_, err = os.Stat(filepath.Join(unpacked, "bin", "initdb"))
	return err
}

// fetchCache returns the folder for the downloaded Postgres. The user that Postgres runs as can
// read the folder. Only the user of this process can write to it, because this process runs the
// programs in it.
func fetchCache(runAs *account) (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", fmt.Errorf("the cache for Postgres: %w", err)
	}
	if runAs.reaches(cache) {
		return cache, nil
	}
	cache = "/usr/local/lib/memexport" // reaches is false only if root runs this process, and root can write here
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("the cache for Postgres: %w", err)
	}
	return cache, nil
}
