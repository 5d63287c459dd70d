package api_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func gunzip(t *testing.T, body []byte) string {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Multistream(false)
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(plain)
}

func TestACompressedFileIsSentToClientsThatAcceptGzip(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.compress(t)
	e, file := s.publish(t, "csv", time.Hour, strings.Repeat("first", 20_000), strings.Repeat("second", 20_000))
	path, etag, gzipTag := "/v1/exports/"+e.ID+"/download", `"`+*e.SHA256+`"`, `"`+*e.SHA256+`-gzip"`

	for _, accept := range []string{"gzip", "deflate, GZIP;q=0.5", "br, *", "x-gzip", "gzip;q=1, identity; q=0.5", "identity;q=0, *;q=0.1"} {
		a := s.do(t, "GET", path, "Accept-Encoding", accept).status(t, 200).header(t, "Content-Encoding", "gzip").header(t, "ETag", gzipTag)
		a.header(t, "Vary", "Accept-Encoding").header(t, "Repr-Digest", "").header(t, "Content-Length", strconv.Itoa(len(a.body)))
		if got := gunzip(t, a.body); got != file {
			t.Errorf("%s: %d bytes instead of %d", accept, len(got), len(file))
		}
		if len(a.body)*10 > len(file) {
			t.Errorf("%d bytes are compressed to %d", len(file), len(a.body))
		}
		s.do(t, "HEAD", path, "Accept-Encoding", accept).status(t, 200).header(t, "Content-Length", strconv.Itoa(len(a.body))).header(t, "ETag", gzipTag)
	}
	for _, accept := range []string{"identity", "br", "gzip;q=0", "*;q=0", "gzip;q=0, *", "gzip;q=0.5, identity", "gzip;q=x"} {
		a := s.do(t, "GET", path, "Accept-Encoding", accept).status(t, 200).header(t, "Content-Encoding", "").header(t, "ETag", etag)
		if a.header(t, "Vary", "Accept-Encoding"); string(a.body) != file {
			t.Errorf("%q: %d bytes instead of %d", accept, len(a.body), len(file))
		}
	}

	whole := s.do(t, "GET", path, "Accept-Encoding", "gzip").body
	size := len(whole)
	piece := func(want []byte, headers ...string) {
		t.Helper()
		a := s.do(t, "GET", path, append([]string{"Accept-Encoding", "gzip"}, headers...)...).status(t, 206)
		if !bytes.Equal(a.body, want) {
			t.Errorf("%v: the bytes differ", headers)
		}
	}
	piece([]byte(file)[150_000:], "Range", "bytes=150000-") // a range of the plain file that begins within a part
	piece([]byte(file)[150_000:], "Range", "bytes=150000-", "If-Range", etag)
	piece(whole[40:], "Range", "bytes=40-", "If-Range", gzipTag)
	piece(whole[size-4:], "Range", "bytes=-4", "If-Range", gzipTag)
	for _, stale := range []string{`"x"`, `"x-gzip"`} {
		a := s.do(t, "GET", path, "Accept-Encoding", "gzip", "Range", "bytes=5-", "If-Range", stale).status(t, 200)
		if string(a.body) != file {
			t.Errorf("If-Range %s: the bytes differ from the plain file", stale)
		}
	}
	// This client has saved the beginning of the compressed file, but no longer accepts gzip. It must get
	// the whole plain file, because no range of the plain file fits the bytes that it has saved.
	a := s.do(t, "GET", path, "Accept-Encoding", "identity", "Range", "bytes=40-", "If-Range", gzipTag).status(t, 200)
	if string(a.body) != file {
		t.Error("the body is not the plain file")
	}
	s.do(t, "GET", path, "Accept-Encoding", "gzip", "If-None-Match", gzipTag).status(t, 304).header(t, "ETag", gzipTag)
	s.do(t, "GET", path, "Accept-Encoding", "gzip", "If-None-Match", etag).status(t, 200)
	s.do(t, "GET", path, "Accept-Encoding", "gzip", "If-Match", `"x"`).header(t, "Content-Encoding", "").problem(t, 412, "PRECONDITION_FAILED")
	s.do(t, "GET", path, "Accept-Encoding", "gzip", "Range", fmt.Sprintf("bytes=%d-", size), "If-Range", gzipTag).
		header(t, "Content-Range", fmt.Sprintf("bytes */%d", size)).header(t, "Content-Encoding", "").problem(t, 416, "RANGE_NOT_SATISFIABLE")
}

func TestAFileThatIsStoredPlainIsNotCompressed(t *testing.T) {
	t.Parallel()
	s := newService(t)
	e, file := s.publish(t, "json", time.Hour, `{"a":1}`)
	a := s.do(t, "GET", "/v1/exports/"+e.ID+"/download", "Accept-Encoding", "gzip").status(t, 200).header(t, "Content-Encoding", "")
	if string(a.body) != file {
		t.Errorf("%q, want %q", a.body, file)
	}
}

func TestACompressedFileThatCannotBeReadResetsTheConnection(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.compress(t)
	random := make([]byte, 300_000) // this is more than the server's buffers hold
	rand.NewChaCha8([32]byte{}).Read(random)
	e, _ := s.publish(t, "csv", time.Hour, string(random), string(random))
	if err := os.Truncate(s.partPath(t, e.ID, 1), 1000); err != nil {
		t.Fatal(err)
	}
	a := s.do(t, "GET", "/v1/exports/"+e.ID+"/download", "Accept-Encoding", "gzip").status(t, 200).header(t, "Content-Encoding", "gzip")
	if !errors.Is(a.err, syscall.ECONNRESET) {
		t.Errorf("the transfer of %d bytes ends with %v", len(a.body), a.err)
	}
	s.log.await(t, "a download broke off")
	s.log.await(t, "aborted=true")
}
