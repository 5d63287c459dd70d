package devstack

import (
	"archive/tar"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	// temporalRelease is the version of the CLI to download. tools/temporal must name the same version.
	temporalRelease = "1.8.2"
	// temporalArchives is the URL where the Temporal project publishes its releases.
	temporalArchives = "https://github.com/temporalio/cli/releases/download"
	// archivesVariable is the name of an environment variable that may contain the URL of another server
	// with the same files, such as a mirror inside a company.
	archivesVariable = "MEMEXPORT_TEMPORAL_ARCHIVES"
)

// temporalSums are the SHA-256 sums of the archives of temporalRelease, by operating system and
// architecture. They are part of the source code, so that somebody who controls the server or a mirror
// cannot change which program runs. The sums were copied from several package definitions of other
// projects, which agree; they were not computed from the archives. For a newer release, copy the sums
// from the file checksums.txt of that release.
var temporalSums = map[string]string{
	"linux_amd64":  "d8421bda989e6514b4bdb4d63a9012a8a05a806892e881a5aad8510496349a94",
	"linux_arm64":  "83600a8fac6e3da54093e5da6918d399f501532b9f1172235603f9606f4ac6e4",
	"darwin_amd64": "489d7f5420cae02b559774ac23df035141954c33a51dba96f5759a0ddccdf1b6",
	"darwin_arm64": "dacdc3587682c04cf27e67c8878ca2d755230b6ad63c0c6ebddd7348ae90ed94",
}

// archive returns the official archive of the CLI for this machine.
func (f temporalFinder) archive() (download, error) {
	platform := runtime.GOOS + "_" + runtime.GOARCH
	sums := temporalSums
	if f.sums != nil {
		sums = f.sums
	}
	sum, ok := sums[platform]
	if !ok {
		return download{}, fmt.Errorf("there is no release archive for %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	server := cmp.Or(f.archives, os.Getenv(archivesVariable), temporalArchives)
	url := fmt.Sprintf("%s/v%s/temporal_cli_%s_%s.tar.gz", strings.TrimRight(server, "/"), temporalRelease, temporalRelease, platform)
	return download{url: url, sha256: sum, patience: cmp.Or(f.patience, downloadPatience)}, nil
}

// fetchTemporal downloads the archive, verifies its checksum and unpacks the CLI to out. Then it runs the
// CLI and returns an error unless the CLI contains a recent enough server.
func fetchTemporal(ctx context.Context, archive download, out string) error {
	packed := out + ".tar.gz"
	defer os.Remove(packed)
	if err := archive.save(ctx, packed); err != nil {
		return err
	}
	if err := unpackTemporal(packed, out); err != nil {
		return fmt.Errorf("unpack the archive: %w", err)
	}
	// Try several times: while another process is being started, it can briefly hold this file open for
	// writing, and then running the file fails with ETXTBSY.
	var version string
	err := poll(ctx, 100*time.Millisecond, func() (done bool, err error) {
		version, err = temporalVersion(ctx, out)
		return !errors.Is(err, syscall.ETXTBSY), err
	})
	if err != nil {
		return err
	}
	if !recentTemporal(version) {
		return fmt.Errorf("the archive has server %s, and %d.%d or newer is needed", version, minTemporalMajor, minTemporalMinor)
	}
	return nil
}

// unpackTemporal extracts the program temporal from a tar.gz file to out.
func unpackTemporal(packed, out string) error {
	file, err := os.Open(packed)
	if err != nil {
		return err
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		return err
	}
	for entries := tar.NewReader(unzipped); ; {
		entry, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return errors.New("it has no program temporal")
		}
		if err != nil {
			return err
		}
		if entry.Name != "temporal" || entry.Typeflag != tar.TypeReg {
			continue
		}
		if _, err := writeFile(out, io.LimitReader(entries, downloadLimit)); err != nil {
			return err
		}
		return os.Chmod(out, 0o755)
	}
}
