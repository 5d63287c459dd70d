package devstack

import (
	"archive/tar"
	"bytes"
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

// packTemporal returns a release archive in which the file name has the given text.
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
	const patience = 200 * time.Millisecond
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		sum     string
		want    string
	}{
		"wrong checksum": {serve(packed), sumOf(old), "its SHA-256 is " + sumOf(packed) + " and should be " + sumOf(old)},
		"not found":      {http.NotFound, sumOf(packed), "404 Not Found"},
		"truncated": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(len(packed)))
			_, _ = w.Write(packed[:len(packed)/2])
		}, sumOf(packed), "unexpected EOF"},
		"silent":           {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, sumOf(packed), "no answer within 200ms"},
		"silent half-way":  {hangAfter(packed[:10]), sumOf(packed), "only 10 bytes arrived in 200ms"},
		"of an old server": {serve(old), sumOf(old), "server 1.25.2, and 1.31 or newer is needed"},
		"without the CLI":  {serve(foreign), sumOf(foreign), "no program temporal"},
		"not an archive":   {serve([]byte("<html>")), sumOf([]byte("<html>")), "unpack the archive"},
	} {
		t.Run(name, func(t *testing.T) {
			url := archiveServer(t, c.handler)
			began := time.Now()
			err := fetchTemporal(t.Context(), download{url: url, sha256: c.sum, patience: patience}, filepath.Join(t.TempDir(), "temporal"))
			wantError(t, err, c.want)
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("it took %v to find out", took)
			}
		})
	}
	t.Run("refused", func(t *testing.T) {
		err := fetchTemporal(t.Context(), download{url: unreachable, sha256: sumOf(packed), patience: downloadPatience}, filepath.Join(t.TempDir(), "temporal"))
		wantError(t, err, "connection refused")
	})
}

// hangAfter sends some bytes and then nothing.
func hangAfter(bytes []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000000")
		_, _ = w.Write(bytes)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
}

func TestASlowDownloadThatProgressesGoesOn(t *testing.T) {
	const patience = 300 * time.Millisecond
	body := bytes.Repeat([]byte("slow but steady."), 4*downloadMinimum/16)
	url := archiveServer(t, func(w http.ResponseWriter, _ *http.Request) {
		for part := range slices.Chunk(body, downloadMinimum/2) {
			_, _ = w.Write(part)
			_ = http.NewResponseController(w).Flush()
			time.Sleep(patience / 4)
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
	if total := 2 * downloadPatience; total > 10*time.Second { // to the answer, and the first window after it
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
