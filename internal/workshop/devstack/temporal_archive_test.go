package devstack

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"
)

// packTemporal returns a release archive that contains one file with the given name and text.
func packTemporal(t *testing.T, name, text string) []byte {
	t.Helper()
	var packed bytes.Buffer
	compressed := gzip.NewWriter(&packed)
	archive := tar.NewWriter(compressed)
	add := func(name, text string) {
		if err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	add("LICENSE", "MIT")
	add(name, text)
	for _, closer := range []interface{ Close() error }{archive, compressed} {
		if err := closer.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return packed.Bytes()
}

func sumOf(packed []byte) string {
	sum := sha256.Sum256(packed)
	return hex.EncodeToString(sum[:])
}

func sumsOf(packed []byte) map[string]string {
	return map[string]string{runtime.GOOS + "_" + runtime.GOARCH: sumOf(packed)}
}

func TestAGoodArchiveBecomesAProgram(t *testing.T) {
	packed := packTemporal(t, "temporal", goodTemporal)
	url := archiveServer(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(packed) })
	out := filepath.Join(t.TempDir(), "temporal")
	if err := fetchTemporal(t.Context(), download{url: url, sha256: sumOf(packed), patience: downloadPatience}, out); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(out); err != nil || string(text) != goodTemporal {
		t.Errorf("the program is %q, %v", text, err)
	}
	if left, _ := filepath.Glob(out + ".*"); len(left) > 0 {
		t.Errorf("the download left %q", left)
	}
}

func TestAnArchiveThatCannotBeHadSaysWhy(t *testing.T) {
	packed, old := packTemporal(t, "temporal", goodTemporal), packTemporal(t, "temporal", oldTemporal)
	foreign := packTemporal(t, "other", goodTemporal)
	serve := func(body []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) }
	}
	for name, c := range map[string]struct {
		handler  http.HandlerFunc
		sum      string
		patience time.Duration // defaults to downloadPatience
		want     string
	}{
		"wrong checksum": {handler: serve(packed), sum: sumOf(old), want: "its SHA-256 is " + sumOf(packed) + " and should be " + sumOf(old)},
		"not found":      {handler: http.NotFound, sum: sumOf(packed), want: "404 Not Found"},
		"truncated": {handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(len(packed)))
			_, _ = w.Write(packed[:len(packed)/2])
		}, sum: sumOf(packed), want: "unexpected EOF"},
		"silent":           {handler: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, sum: sumOf(packed), patience: time.Second, want: "no answer within 1s"},
		"silent half-way":  {handler: hangAfter(packed[:10]), sum: sumOf(packed), patience: 2 * time.Second, want: "bytes arrived in 2s"},
		"of an old server": {handler: serve(old), sum: sumOf(old), want: "server 1.25.2, and 1.31 or newer is needed"},
		"without the CLI":  {handler: serve(foreign), sum: sumOf(foreign), want: "no program temporal"},
		"not an archive":   {handler: serve([]byte("<html>")), sum: sumOf([]byte("<html>")), want: "unpack the archive"},
	} {
		t.Run(name, func(t *testing.T) {
			url := archiveServer(t, c.handler)
			err := fetchTemporal(t.Context(), download{url: url, sha256: c.sum, patience: cmp.Or(c.patience, downloadPatience)}, filepath.Join(t.TempDir(), "temporal"))
			wantError(t, err, c.want)
		})
	}
	t.Run("refused", func(t *testing.T) {
		err := fetchTemporal(t.Context(), download{url: unreachable, sha256: sumOf(packed), patience: downloadPatience}, filepath.Join(t.TempDir(), "temporal"))
		wantError(t, err, "connection refused")
	})
}

// hangAfter returns a handler that sends some bytes and then hangs until the client gives up.
func hangAfter(bytes []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000000")
		_, _ = w.Write(bytes)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
}

func TestASlowDownloadThatProgressesGoesOn(t *testing.T) {
	const patience = 2 * time.Second
	body := bytes.Repeat([]byte("slow but steady."), 4*downloadMinimum/16)
	url := archiveServer(t, func(w http.ResponseWriter, _ *http.Request) {
		for part := range slices.Chunk(body, downloadMinimum/2) {
			_, _ = w.Write(part)
			_ = http.NewResponseController(w).Flush()
			time.Sleep(patience / 5)
		}
	})
	began, path := time.Now(), filepath.Join(t.TempDir(), "file")
	if err := (download{url: url, sha256: sumOf(body), patience: patience}).save(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < patience {
		t.Errorf("it took %v, less than one window", took)
	}
}

func TestAHangingNetworkCostsAtMostTenSeconds(t *testing.T) {
	// The server may take downloadPatience to answer, and as long again to send the first bytes of the body.
	if total := 2 * downloadPatience; total > 10*time.Second {
		t.Errorf("it costs %v", total)
	}
}

func TestEveryPlatformHasAChecksum(t *testing.T) {
	platforms := slices.Sorted(maps.Keys(temporalSums))
	if want := []string{"darwin_amd64", "darwin_arm64", "linux_amd64", "linux_arm64"}; !slices.Equal(platforms, want) {
		t.Errorf("the platforms are %q", platforms)
	}
	for platform, sum := range temporalSums {
		if decoded, err := hex.DecodeString(sum); err != nil || len(decoded) != sha256.Size {
			t.Errorf("%s: %q is not a SHA-256", platform, sum)
		}
	}
}
