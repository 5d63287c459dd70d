package api_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"memexport/internal/service/export"
	"memexport/internal/service/format"
	"memexport/internal/service/memory"
)

func TestTheFileOfEveryFormatIsServedWhole(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for _, f := range format.All {
		e, file := s.publish(t, f.Name, time.Hour, strings.Repeat("first", 20_000), strings.Repeat("second", 20_000))
		sum := sha256.Sum256([]byte(file))
		for _, method := range []string{"GET", "HEAD"} {
			a := s.do(t, method, "/v1/exports/"+e.ID+"/download").status(t, 200)
			if method == "GET" && string(a.body) != file {
				t.Errorf("%s: %d bytes, want %d", f.Name, len(a.body), len(file))
			}
			a.header(t, "Content-Type", f.ContentType)
			a.header(t, "Content-Length", fmt.Sprint(len(file)))
			a.header(t, "Content-Disposition", `attachment; filename="memories-`+e.CompletedAt.Format("20060102")+"-"+e.ID+"."+f.Extension+`"`)
			a.header(t, "ETag", `"`+hex.EncodeToString(sum[:])+`"`)
			a.header(t, "Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(sum[:])+":")
			a.header(t, "Last-Modified", e.CompletedAt.Format(http.TimeFormat))
			a.header(t, "Accept-Ranges", "bytes")
			a.header(t, "Cache-Control", "private, no-transform")
			a.header(t, "X-Accel-Buffering", "no")
			a.header(t, "Content-Security-Policy", "sandbox")
			if method == "HEAD" && len(a.body) > 0 {
				t.Errorf("HEAD has a body of %d bytes", len(a.body))
			}
		}
	}
}

func TestPartsOfTheFileCanBeAskedFor(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for _, f := range format.All {
		t.Run(f.Name, func(t *testing.T) { partsCanBeAskedFor(t, s, f.Name) })
	}
}

// RFC 9110, section 14.2, defines Range only for GET.
func TestARangeOfAHeadRequestIsIgnored(t *testing.T) {
	t.Parallel()
	s := newService(t)
	e, file := s.publish(t, "csv", time.Hour, strings.Repeat("first", 1000))
	for _, ranges := range []string{"bytes=0-1", "bytes=0-1,5-9", "bytes=999999-"} {
		a := s.do(t, "HEAD", "/v1/exports/"+e.ID+"/download", "Range", ranges).status(t, 200)
		a.header(t, "Content-Length", fmt.Sprint(len(file))).header(t, "Content-Range", "").header(t, "Accept-Ranges", "bytes")
	}
}

func partsCanBeAskedFor(t *testing.T, s *service, formatName string) {
	e, file := s.publish(t, formatName, time.Hour, strings.Repeat("first", 20_000), strings.Repeat("second", 20_000))
	size, path, etag := len(file), "/v1/exports/"+e.ID+"/download", `"`+*e.SHA256+`"`
	future := e.CompletedAt.Add(time.Hour).Format(http.TimeFormat)
	past := e.CompletedAt.Add(-time.Hour).Format(http.TimeFormat)

	for _, c := range []struct {
		name       string
		headers    []string
		status     int
		start, end int
	}{
		{"from", []string{"Range", "bytes=99990-"}, 206, 99990, size},
		{"within", []string{"Range", "bytes=10-19"}, 206, 10, 20},
		{"across parts", []string{"Range", "bytes=100000-100300"}, 206, 100000, 100301},
		{"suffix", []string{"Range", "bytes=-5"}, 206, size - 5, size},
		{"beyond the end", []string{"Range", fmt.Sprintf("bytes=5-%d", size+5)}, 206, 5, size},
		{"beyond any int64", []string{"Range", "bytes=5-18446744073709551615"}, 206, 5, size},
		{"a suffix beyond any int64", []string{"Range", "bytes=-9223372036854775808"}, 206, 0, size},
		{"an end with many zeros", []string{"Range", "bytes=5-00000000000000000000009"}, 206, 5, 10},
		{"If-Range matches", []string{"Range", "bytes=5-9", "If-Range", etag}, 206, 5, 10},
		{"If-Range differs", []string{"Range", "bytes=5-9", "If-Range", `"x"`}, 200, 0, size},
		{"If-Range by date", []string{"Range", "bytes=5-9", "If-Range", e.CompletedAt.Format(http.TimeFormat)}, 206, 5, 10},
		{"more ranges than are served", []string{"Range", "bytes=0-1" + strings.Repeat(",5-9", 16)}, 200, 0, size},
		{"ranges of more than the file", []string{"Range", "bytes=0-,1-"}, 200, 0, size},
		{"several, one of nothing", []string{"Range", "bytes=0-1,-0"}, 200, 0, size},
		{"another unit", []string{"Range", "lines=0-1"}, 200, 0, size},
		{"nothing of the end", []string{"Range", "bytes=-0"}, 200, 0, size},
		{"no range at all", []string{"Range", "bytes=x"}, 200, 0, size},
		{"If-None-Match differs", []string{"If-None-Match", `"x"`}, 200, 0, size},
		{"If-Match matches", []string{"If-Match", etag}, 200, 0, size},
	} {
		a := s.do(t, "GET", path, c.headers...).status(t, c.status)
		if string(a.body) != file[c.start:c.end] {
			t.Errorf("%s: %d bytes, want %d", c.name, len(a.body), c.end-c.start)
		}
		contentRange := ""
		if c.status == 206 {
			contentRange = fmt.Sprintf("bytes %d-%d/%d", c.start, c.end-1, size)
		}
		a.header(t, "Content-Range", contentRange).header(t, "ETag", etag)
	}
	for _, headers := range [][]string{
		{"If-None-Match", etag}, {"If-None-Match", `"x", ` + etag}, {"If-None-Match", "*"}, {"If-Modified-Since", future},
		{"If-None-Match", etag, "Range", "bytes=0-1"},
	} {
		if a := s.do(t, "GET", path, headers...).status(t, 304).header(t, "ETag", etag); len(a.body) > 0 {
			t.Errorf("%v: a body", headers)
		}
	}
	for _, headers := range [][]string{{"If-Match", `"x"`}, {"If-Unmodified-Since", past}} {
		s.do(t, "GET", path, headers...).header(t, "Content-Disposition", "").problem(t, 412, "PRECONDITION_FAILED")
	}
	for _, r := range []string{fmt.Sprintf("bytes=%d-", size), "bytes=5-2", "bytes=99999999999999999999-"} {
		a := s.do(t, "GET", path, "Range", r).header(t, "Content-Range", fmt.Sprintf("bytes */%d", size)).header(t, "Content-Disposition", "").header(t, "Cache-Control", "no-store")
		a.problem(t, 416, "RANGE_NOT_SATISFIABLE")
	}
}

func TestAnExportThatIsNotReadyHasNoFile(t *testing.T) {
	t.Parallel()
	s := newService(t)
	e := s.create(t, "json")
	path := "/v1/exports/" + e.ID + "/download"
	s.do(t, "GET", path).header(t, "Retry-After", "1").problem(t, 409, "EXPORT_NOT_READY")
	s.do(t, "HEAD", path).problem(t, 409, "EXPORT_NOT_READY")
	s.process(t, e.ID)
	s.do(t, "GET", path).header(t, "Retry-After", "1").problem(t, 409, "EXPORT_NOT_READY")
}

func TestTheFileExpiresOnTimeWithoutAWorker(t *testing.T) {
	t.Parallel()
	s := newService(t)
	e, _ := s.publish(t, "json", 700*time.Millisecond, "x")
	path := "/v1/exports/" + e.ID
	s.do(t, "GET", path+"/download").status(t, 200)
	time.Sleep(time.Until(*e.ExpiresAt) + 50*time.Millisecond)
	s.do(t, "GET", path+"/download").problem(t, 410, "EXPORT_EXPIRED")
	if got := s.do(t, "GET", path).status(t, 200).job(t).Status; got != "EXPIRED" {
		t.Errorf("status %s", got)
	}
}

// partPath returns the path on disk of a part of an export.
func (s *service) partPath(t *testing.T, id string, number int) string {
	t.Helper()
	parts, err := s.exports.Parts(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(s.dir, filepath.FromSlash(parts[number].Object))
}

func TestAFileThatCannotBeReadToTheEndBreaksTheTransfer(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for name, spoil := range map[string]func(path string) error{
		"gone":      os.Remove,
		"truncated": func(path string) error { return os.Truncate(path, 1000) },
	} {
		e, file := s.publish(t, "json", time.Hour, strings.Repeat("first", 100_000), strings.Repeat("second", 50_000))
		if err := spoil(s.partPath(t, e.ID, 1)); err != nil {
			t.Fatal(err)
		}
		a := s.do(t, "GET", "/v1/exports/"+e.ID+"/download").status(t, 200)
		if a.err == nil {
			t.Errorf("%s: the transfer looks complete with %d of %d bytes", name, len(a.body), len(file))
		}
		if !strings.HasPrefix(file, string(a.body)) {
			t.Errorf("%s: the bytes differ from the file", name)
		}
		if log := s.log.String(); !strings.Contains(log, "a download broke off") || !strings.Contains(log, "aborted=true") {
			t.Errorf("%s: the log lacks the failure", name)
		}
	}
}

// The parts in this test are larger than a buffer of ReadFrom. The API copies the beginning of a part, and lets
// the kernel send the rest.
func TestLargePartsAreSent(t *testing.T) {
	t.Parallel()
	s := newService(t)
	part := func(text string) string { return strings.Repeat(text, 3<<20/len(text)) }
	e, file := s.publish(t, "json", time.Hour, part("first"), part("second"), part("third"))
	path, size := "/v1/exports/"+e.ID+"/download", len(file)
	for _, r := range []struct{ start, end int }{{0, size}, {1000, size}, {2 << 20, 5 << 20}, {4 << 20, 4<<20 + 1<<19}, {size - 100, size}} {
		a := s.do(t, "GET", path, "Range", fmt.Sprintf("bytes=%d-%d", r.start, r.end-1)).status(t, 206)
		if a.err != nil || string(a.body) != file[r.start:r.end] {
			t.Errorf("%d to %d: %d bytes, %v", r.start, r.end, len(a.body), a.err)
		}
	}
	a := s.do(t, "GET", path).status(t, 200)
	if a.err != nil || string(a.body) != file {
		t.Errorf("%d of %d bytes, %v", len(a.body), size, a.err)
	}
	if log := s.log.String(); !strings.Contains(log, fmt.Sprintf("bytes=%d", size)) {
		t.Error("the log lacks the number of bytes")
	}
	if err := os.Truncate(s.partPath(t, e.ID, 1), 2<<20); err != nil {
		t.Fatal(err)
	}
	// The part is found to be too short when it is opened.
	a = s.do(t, "GET", path).status(t, 200)
	if a.err == nil || !strings.HasPrefix(file, string(a.body)) || len(a.body) < 2<<20 {
		t.Errorf("the transfer looks complete with %d of %d bytes", len(a.body), size)
	}
}

// A backup of Postgres that is older than the bucket may have READY exports whose objects are gone.
func TestAFileThatIsLostIsGone(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for name, spoil := range map[string]func(path string) error{
		"missing": os.Remove,
		"cut":     func(path string) error { return os.Truncate(path, 3) },
	} {
		e, _ := s.publish(t, "csv", time.Hour, "first", "second")
		if err := spoil(s.partPath(t, e.ID, 0)); err != nil {
			t.Fatal(err)
		}
		a := s.do(t, "GET", "/v1/exports/"+e.ID+"/download").header(t, "ETag", "").header(t, "Content-Disposition", "").header(t, "Repr-Digest", "").header(t, "Cache-Control", "no-store")
		a.problem(t, 410, "EXPORT_FILE_LOST")
		if bytes.Contains(a.body, []byte("exports/")) {
			t.Errorf("%s: the answer shows something of the store: %s", name, a.body)
		}
		if got := s.do(t, "GET", "/v1/exports/"+e.ID).status(t, 200).job(t).Status; got != "READY" {
			t.Errorf("%s: the export is %s", name, got)
		}
	}
	s.log.await(t, "check that BUCKET_URL names the bucket")
}

// If the disk of the bucket is not mounted, the directory of the bucket is missing. The API must not answer that a
// file is lost then, because the files come back when the disk is mounted.
func TestNoFileIsLostWhileTheBucketIsMissing(t *testing.T) {
	t.Parallel()
	s := newService(t)
	e, file := s.publish(t, "csv", time.Hour, "first", "second")
	if err := os.Rename(s.dir, s.dir+".away"); err != nil {
		t.Fatal(err)
	}
	s.do(t, "GET", "/v1/exports/"+e.ID+"/download").header(t, "Retry-After", "5").problem(t, 503, "UNAVAILABLE")
	if err := os.Rename(s.dir+".away", s.dir); err != nil {
		t.Fatal(err)
	}
	if got := string(s.do(t, "GET", "/v1/exports/"+e.ID+"/download").status(t, 200).body); got != file {
		t.Errorf("the file is %q", got)
	}
}

func TestAStoreThatIsAwayForAMomentIsUnavailable(t *testing.T) {
	t.Parallel()
	s := newService(t)
	e, _ := s.publish(t, "csv", time.Hour, "first", "second")
	// Put a file in the place of the folder, so that the disk refuses to open the part.
	folder := filepath.Dir(s.partPath(t, e.ID, 0))
	if err := errors.Join(os.Rename(folder, folder+".away"), os.WriteFile(folder, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	s.do(t, "GET", "/v1/exports/"+e.ID+"/download").header(t, "Retry-After", "5").problem(t, 503, "UNAVAILABLE")
	if err := errors.Join(os.Remove(folder), os.Rename(folder+".away", folder)); err != nil {
		t.Fatal(err)
	}
	s.do(t, "GET", "/v1/exports/"+e.ID+"/download").status(t, 200)
}

func TestAFileOfAnotherSizeThanRecordedIsAnError(t *testing.T) {
	t.Parallel()
	s := newService(t)
	e, _ := s.publish(t, "json", time.Hour, "first", "second")
	if _, err := s.db.Exec(`DELETE FROM memexport.export_parts WHERE export_id = $1 AND part = 1`, e.ID); err != nil {
		t.Fatal(err)
	}
	s.do(t, "GET", "/v1/exports/"+e.ID+"/download").problem(t, 500, "INTERNAL")
	if !strings.Contains(s.log.String(), "instead of") {
		t.Error("the log lacks the reason")
	}
}

func TestAnEmptyExportHasAFile(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for _, f := range format.All {
		e := s.create(t, f.Name)
		if _, err := s.exports.Start(t.Context(), e.ID, []memory.PlannedRange{}); err != nil {
			t.Fatal(err)
		}
		file := f.Prefix + f.Suffix
		sum := sha256.Sum256([]byte(file))
		if _, err := s.exports.Publish(t.Context(), e.ID, export.File{Size: int64(len(file)), SHA256: sum[:]}, time.Hour); err != nil {
			t.Fatal(err)
		}
		if got := string(s.do(t, "GET", "/v1/exports/"+e.ID+"/download").status(t, 200).body); got != file {
			t.Errorf("%s: %q, want %q", f.Name, got, file)
		}
	}
}

func TestAConnectionIsReusedAfterADownload(t *testing.T) {
	t.Parallel()
	s := newService(t)
	e, _ := s.publish(t, "json", time.Hour, strings.Repeat("x", 1<<20))
	for range 3 { // send several requests one after the other on the same connection
		s.do(t, "GET", "/v1/exports/"+e.ID+"/download").status(t, 200)
		s.do(t, "GET", "/v1/exports/"+e.ID).status(t, 200)
	}
}
