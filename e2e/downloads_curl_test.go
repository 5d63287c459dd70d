//go:build downloads

package e2e

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// headerBytes is more than the size of the headers of one response.
const headerBytes = 2000

// curl starts to download the file to path. If path contains a part of the file, curl resumes it.
func (f *downloads) curl(t *testing.T, url, path string, args ...string) *tool {
	t.Helper()
	return startTool(t, "curl", append([]string{"-sSf", "-H", f.keyHeader(), "-C", "-", "-o", path, url + f.path()}, args...)...)
}

// ways are the options of curl for each kind of download. With --compressed, curl accepts the compressed
// file and decompresses it. The API sends the compressed file only if the export is stored compressed.
var ways = map[string][]string{"plain": nil, "--compressed": {"--compressed"}}

// sentOf returns approximately how many bytes the API sends for a whole download with these options of
// curl.
func (f *downloads) sentOf(t *testing.T, options []string) int64 {
	t.Helper()
	if !f.compressed || len(options) == 0 {
		return *f.export.SizeBytes
	}
	var stored int64
	for _, name := range objects(t, f.bucket(), f.export.ID) {
		stored += sizeOf(t, filepath.Join(f.bucket(), "exports", f.export.ID, name))
	}
	return stored
}

// cut is passed to wire.count to make the proxy cut the connection.
func cut() (goOn bool) { return false }

func curlResumesAfterCuts(t *testing.T, f *downloads) {
	for way, options := range ways {
		t.Run(way, func(t *testing.T) {
			p := newWire(t, f.client.url)
			path := filepath.Join(t.TempDir(), "file")
			size, whole := *f.export.SizeBytes, f.sentOf(t, options)
			p.count(whole/3, cut)
			if code := f.curl(t, p.url, path, options...).code(t); code == 0 {
				t.Fatal("curl calls a third of the file a success")
			}
			first, _ := p.counted()
			if first > whole/2 {
				t.Errorf("%d of %d bytes were sent before the first cut", first, whole)
			}
			have := sizeOf(t, path)
			p.count((size-have)/2, cut)
			if code := f.curl(t, p.url, path, options...).code(t); code == 0 {
				t.Fatal("curl calls a part of the file a success")
			}
			second, _ := p.counted()
			now := sizeOf(t, path)
			if now <= have || now >= size {
				t.Fatalf("of %d bytes the file had %d after a cut and %d after another", size, have, now)
			}
			p.count(0, nil)
			if r := f.curl(t, p.url, path, options...); r.code(t) != 0 {
				t.Fatal("curl does not get the rest:", r.Output())
			}
			third, _ := p.counted()
			t.Logf("sent: %d, %d and %d bytes with headers; the file had %d, %d and %d", first, second, third, have, now, size)
			if third < size-now || third > size-now+headerBytes {
				t.Errorf("%d bytes were sent where %d were missing", third, size-now)
			}
			f.isWhole(t, path)
		})
	}
}

func curlResumesAfterTheAPIWasKilled(t *testing.T, f *downloads) {
	for way, options := range ways {
		t.Run(way, func(t *testing.T) {
			api, url := f.api(t)
			p := newWire(t, url)
			path := filepath.Join(t.TempDir(), "file")
			p.count(f.sentOf(t, options)/3, func() (goOn bool) {
				api.Kill()
				return true
			})
			if code := f.curl(t, p.url, path, options...).code(t); code == 0 {
				t.Fatal("curl calls a part of the file a success")
			}
			have := sizeOf(t, path)
			if have == 0 {
				t.Fatal("nothing was downloaded before the API was killed")
			}
			_, url = f.api(t)
			p.pointTo(t, url)
			p.count(0, nil)
			if r := f.curl(t, p.url, path, options...); r.code(t) != 0 {
				t.Fatal("curl does not get the rest:", r.Output())
			}
			sent, _ := p.counted()
			missing := *f.export.SizeBytes - have
			t.Logf("the API was killed when the file had %d bytes; for the other %d another process sent %d with headers", have, missing, sent)
			if sent < missing || sent > missing+headerBytes {
				t.Errorf("%d bytes were sent where %d were missing", sent, missing)
			}
			f.isWhole(t, path)
		})
	}
}

func curlFailsWhenTheStoreLosesAPart(t *testing.T, f *downloads) {
	for way, options := range ways {
		t.Run(way, func(t *testing.T) {
			parts := f.parts(t)
			if err := os.Remove(parts[len(parts)-1]); err != nil {
				t.Fatal(err)
			}
			f.failsInTheMiddle(t, f.client.url, options)
		})
	}
}

func curlFailsWhenPartsAreTruncated(t *testing.T, f *downloads) {
	for way, options := range ways {
		t.Run(way, func(t *testing.T) {
			p := newWire(t, f.client.url)
			parts := f.parts(t)
			p.count(100_000, func() (goOn bool) {
				for _, part := range parts {
					if err := os.Truncate(part, 1000); err != nil {
						t.Error(err)
					}
				}
				return true
			})
			f.failsInTheMiddle(t, p.url, options)
		})
	}
}

// failsInTheMiddle fails the test unless curl gets only a part of the file and reports an error.
func (f *downloads) failsInTheMiddle(t *testing.T, url string, options []string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	r := f.curl(t, url, path, options...)
	code := r.code(t)
	got := sizeOf(t, path)
	t.Logf("curl got %d of %d bytes and ended with %d: %s", got, *f.export.SizeBytes, code, strings.TrimSpace(r.Output()))
	if code == 0 || got == 0 || got >= *f.export.SizeBytes {
		t.Errorf("curl ended with %d and a file of %d bytes, though the store broke in the middle of %d", code, got, *f.export.SizeBytes)
	}
}

// A client that keeps the compressed file must send that file's ETag in If-Range when it resumes.
// Otherwise the response could continue the file with bytes of the uncompressed file.
func curlResumesACompressedFileByItsETag(t *testing.T, f *downloads) {
	path := filepath.Join(t.TempDir(), "file.gz")
	p := newWire(t, f.client.url)
	accept := []string{"-H", "Accept-Encoding: gzip"}
	whole := f.sentOf(t, accept)
	p.count(whole/2, cut)
	if code := f.curl(t, p.url, path, accept...).code(t); code == 0 {
		t.Fatal("curl calls half of the file a success")
	}
	have := sizeOf(t, path)
	p.count(0, nil)
	tag := `"` + *f.export.SHA256 + `-gzip"`
	r := f.curl(t, p.url, path, append(accept, "-H", "If-Range: "+tag)...)
	code := r.code(t)
	sent, _ := p.counted()
	if !f.compressed { // the export is stored uncompressed, so no compressed file has this ETag
		if code == 0 {
			t.Error("curl took bytes of a file with another ETag")
		}
		return
	}
	if code != 0 {
		t.Fatal("curl does not get the rest:", r.Output())
	}
	t.Logf("the compressed file has about %d bytes: %d were there, and %d with headers were sent", whole, have, sent)
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if rest := sizeOf(t, path) - have; sent > rest+headerBytes {
		t.Errorf("%d bytes were sent where %d were missing", sent, rest)
	}
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, unpacked); err != nil {
		t.Fatal(err)
	}
	same(t, "sha256 of the unpacked file", hex.EncodeToString(sum.Sum(nil)), *f.export.SHA256)
}
