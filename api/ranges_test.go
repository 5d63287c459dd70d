package api_test

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSeveralRangesAreServedAtOnce(t *testing.T) {
	t.Parallel()
	s := newService(t)
	e, file := s.publish(t, "markdown", time.Hour, strings.Repeat("first", 20_000), strings.Repeat("second", 20_000))
	path, size := "/v1/exports/"+e.ID+"/download", len(file)
	for header, want := range map[string][][2]int{
		"bytes=0-1,5-9":                          {{0, 2}, {5, 10}},
		"bytes=-5, 100000-150000 , 0-0":          {{size - 5, size}, {100_000, 150_001}, {0, 1}}, // ranges are sent in the order of the request
		"bytes=1-1" + strings.Repeat(",7-8", 15): append([][2]int{{1, 2}}, slices.Repeat([][2]int{{7, 9}}, 15)...),
	} {
		a := s.do(t, "GET", path, "Range", header).status(t, 206).header(t, "ETag", `"`+*e.SHA256+`"`)
		kind, parameters, err := mime.ParseMediaType(a.Header.Get("Content-Type"))
		if err != nil || kind != "multipart/byteranges" {
			t.Fatalf("%s: the type %q: %v", header, a.Header.Get("Content-Type"), err)
		}
		if a.ContentLength != int64(len(a.body)) {
			t.Errorf("%s: Content-Length %d for %d bytes", header, a.ContentLength, len(a.body))
		}
		parts := multipart.NewReader(strings.NewReader(string(a.body)), parameters["boundary"])
		for _, r := range want {
			part, err := parts.NextPart()
			if err != nil {
				t.Fatalf("%s: %v", header, err)
			}
			got, err := io.ReadAll(part)
			if err != nil || string(got) != file[r[0]:r[1]] {
				t.Errorf("%s: %d bytes of %v: %v", header, len(got), r, err)
			}
			if got, want := part.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-%d/%d", r[0], r[1]-1, size); got != want {
				t.Errorf("%s: Content-Range %q, want %q", header, got, want)
			}
			if got := part.Header.Get("Content-Type"); got != "text/markdown; charset=utf-8" {
				t.Errorf("%s: a range has the type %q", header, got)
			}
		}
		if _, err := parts.NextPart(); !errors.Is(err, io.EOF) {
			t.Errorf("%s: more parts than requested: %v", header, err)
		}
	}
}

func TestRangesOfAFileThatCannotBeReadBreakTheTransfer(t *testing.T) {
	t.Parallel()
	s := newService(t)
	e, _ := s.publish(t, "csv", time.Hour, strings.Repeat("first", 50_000), strings.Repeat("second", 50_000))
	if err := os.Truncate(s.partPath(t, e.ID, 1), 1000); err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), "GET", s.url+"/v1/exports/"+e.ID+"/download", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Api-Key", s.key)
	// The first range is longer than what is read before the header is written.
	request.Header.Set("Range", "bytes=0-199999,300000-300009")
	// Do returns an error if the transfer breaks while the answer is still in the server's buffer.
	response, err := http.DefaultClient.Do(request)
	var body []byte
	if err == nil {
		body, err = io.ReadAll(response.Body)
		response.Body.Close()
	}
	if err == nil {
		t.Errorf("the transfer looks complete: %q", body)
	}
}

func TestSeveralRangesOfAFileThatCannotBeReadAreAnsweredWithTheReason(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for name, c := range map[string]struct {
		spoil  func(path string) error
		status int
		code   string
	}{
		"missing": {os.Remove, 410, "EXPORT_FILE_LOST"},
		"cut":     {func(path string) error { return os.Truncate(path, 3) }, 410, "EXPORT_FILE_LOST"},
		"away":    {func(string) error { return os.Rename(s.dir, s.dir+".away") }, 503, "UNAVAILABLE"},
	} {
		t.Run(name, func(t *testing.T) {
			e, _ := s.publish(t, "csv", time.Hour, strings.Repeat("first", 2000), strings.Repeat("second", 20_000))
			if err := c.spoil(s.partPath(t, e.ID, 1)); err != nil {
				t.Fatal(err)
			}
			// The part is read for the first range, and for the second one.
			for _, ranges := range []string{"bytes=20000-20001,30000-30001", "bytes=0-1,20000-120000"} {
				a := s.do(t, "GET", "/v1/exports/"+e.ID+"/download", "Range", ranges)
				a.header(t, "ETag", "").header(t, "Content-Range", "").problem(t, c.status, c.code)
			}
			if _, err := os.Stat(s.dir); err != nil {
				if err := os.Rename(s.dir+".away", s.dir); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// If a client leaves during an answer with several ranges, no goroutine may go on reading the file. If
// one did, the race detector would report a race, or the server would not shut down at the end of the
// test.
func TestAClientMayLeaveInTheMiddleOfSeveralRanges(t *testing.T) {
	t.Parallel()
	s := newService(t)
	e, _ := s.publish(t, "csv", time.Hour, strings.Repeat("x", 12<<20), strings.Repeat("y", 12<<20))
	for range 5 {
		connection, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(connection, "GET /v1/exports/%s/download HTTP/1.1\r\nHost: x\r\nX-Api-Key: %s\r\nRange: bytes=0-9999999,10000000-19999999\r\n\r\n", e.ID, s.key)
		if _, err := io.CopyN(io.Discard, connection, 200_000); err != nil {
			t.Error(err)
		}
		connection.Close()
	}
	s.do(t, "GET", "/v1/exports/"+e.ID+"/download", "Range", "bytes=0-0").status(t, 206)
}
