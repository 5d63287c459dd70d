package api

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"memexport/internal/service/memory"
)

// FuzzTime compares parseTime with time.Parse, which accepts more, and with the form that RFC 3339
// requires.
func FuzzTime(f *testing.F) {
	for _, text := range []string{"2026-01-15", "2026-01-15T10:30:00Z", "2026-01-15T10:30:00.123456789+02:00", "2026-01-15 10:30:00Z", "2026-1-15", "0000-01-01",
		"0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-02-29", "2024-02-29", "2026-01-15T24:00:00Z", "2026-01-15T10:30:00,5Z", "2026-01-15t10:30:00z", "+2026-01-15", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseTime(text)
		want, wantErr := time.Parse("2006-01-02", text)
		if hasTimestampForm(text) {
			want, wantErr = time.Parse(time.RFC3339Nano, text)
		}
		want = want.UTC()
		if year := want.Year(); year < 1 || year > 9999 {
			wantErr = errTime
		}
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%q: %v, want %v", text, err, wantErr)
		}
		if err == nil && (want.Sub(got) < 0 || want.Sub(got) >= time.Microsecond || got.Nanosecond()%1000 != 0) {
			t.Fatalf("%q becomes %s", text, got)
		}
	})
}

// hasTimestampForm reports whether text consists of a date, T, a time, optionally a fraction, and Z or an
// offset.
func hasTimestampForm(text string) bool {
	form := func(text, form string) bool {
		return len(text) == len(form) && strings.Map(func(r rune) rune {
			if '0' <= r && r <= '9' {
				return '0'
			}
			return r
		}, text) == form
	}
	const seconds = "0000-00-00T00:00:00"
	if len(text) < len(seconds) || !form(text[:len(seconds)], seconds) {
		return false
	}
	rest := text[len(seconds):]
	if fraction, ok := strings.CutPrefix(rest, "."); ok {
		if rest = strings.TrimLeft(fraction, "0123456789"); rest == fraction {
			return false
		}
	}
	return rest == "Z" || form(rest, "+00:00") || form(rest, "-00:00")
}

// FuzzQuery checks that a parsed filter contains exactly what the query string says.
func FuzzQuery(f *testing.F) {
	for _, query := range []string{"", "user_id=a&agent_id=b&session_id=c&priority=LOW", "categories=a,b&categories=b,c", "created_after=2026-01-15&created_before=2026-01-16T00:00:00%2B01:00",
		"user_id=%ff", "user_id=%00", "user_id=a&user_id=b", "x=1", "%zz", "a;b", "priority=low", "categories=", "categories=,", "created_after=2026-01-15T10:30:00+02:00"} {
		f.Add(query)
	}
	operation := createOperation()
	f.Fuzz(func(t *testing.T, query string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		for name := range values {
			if mistake(&operation, name, values[name]) != "" {
				return
			}
		}
		delete(values, "format")
		filter, errs := parseFilter(values)
		if len(errs) > 0 {
			return
		}
		said := 0
		texts := map[string]*string{"user_id": filter.UserID, "agent_id": filter.AgentID, "session_id": filter.SessionID}
		if filter.Priority != nil {
			priority := string(*filter.Priority)
			texts["priority"] = &priority
		}
		for name, got := range texts {
			if got == nil {
				continue
			}
			if said++; *got != values.Get(name) || *got == "" || !utf8.ValidString(*got) || strings.ContainsRune(*got, 0) {
				t.Fatalf("%q: %s is %q", query, name, *got)
			}
		}
		for name, got := range map[string]*time.Time{"created_after": filter.CreatedAfter, "created_before": filter.CreatedBefore} {
			if got == nil {
				continue
			}
			if want, err := parseTime(values.Get(name)); err != nil || !want.Equal(*got) {
				t.Fatalf("%q: %s is %s", query, name, got)
			}
			said++
		}
		if filter.Categories != nil {
			said++
			checkCategories(t, values["categories"], filter)
		}
		if said != len(values) {
			t.Fatalf("%q: %d parameters make %d filters: %+v", query, len(values), said, filter)
		}
	})
}

// checkCategories fails the test unless the filter contains every item of the lists exactly once and
// nothing else.
func checkCategories(t *testing.T, lists []string, filter memory.Filter) {
	t.Helper()
	items := map[string]bool{}
	for _, list := range lists {
		for item := range strings.SplitSeq(list, ",") {
			items[item] = true
		}
	}
	if len(items) != len(filter.Categories) {
		t.Fatalf("the categories of %q are %q", lists, filter.Categories)
	}
	for _, item := range filter.Categories {
		if !items[item] || item == "" {
			t.Fatalf("the categories of %q are %q", lists, filter.Categories)
		}
	}
}

// FuzzRange sends a request with a Range header. It checks that the bytes in the answer are the bytes of
// the file at the position that Content-Range gives. If the header contains one simple range, the answer
// must contain exactly this range.
func FuzzRange(f *testing.F) {
	file := make([]byte, 1000)
	for i := range file {
		file[i] = byte(i * 7 / 3)
	}
	for _, header := range []string{"", "bytes=0-", "bytes=0-0", "bytes=0-00", "bytes=5-0099", "bytes=-1", "bytes=0-0,-1", "bytes=10-5", "bytes=999-", "bytes=1000-", "bytes=-0", "bytes= 1-2 , 3-4", "bytes=1-2,", "bites=1-2",
		"bytes=99999999999999999999-", "bytes=0-99999999999999999999", "bytes=1-2,1-2,1-2,1-2,1-2,1-2,1-2,1-2,1-2,1-2,1-2,1-2,1-2,1-2,1-2,1-2,1-2"} {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Range", header)
		tidyRange(r.Method, r.Header)
		recorder := httptest.NewRecorder()
		recorder.Header().Set("Content-Type", "text/csv")
		http.ServeContent(recorder, r, "", time.Time{}, bytes.NewReader(file))
		a := recorder.Result()
		body := recorder.Body.Bytes()
		if first, last, ok := simpleRange(header, len(file)); ok && (a.StatusCode != http.StatusPartialContent || !bytes.Equal(body, file[first:last])) {
			t.Fatalf("%q: %s with %d bytes, want those from %d to %d", header, a.Status, len(body), first, last)
		}
		switch a.StatusCode {
		case http.StatusOK:
			if !bytes.Equal(body, file) {
				t.Fatalf("%q: 200 with %d bytes", header, len(body))
			}
		case http.StatusRequestedRangeNotSatisfiable:
		case http.StatusPartialContent:
			kind, parameters, _ := mime.ParseMediaType(a.Header.Get("Content-Type"))
			if kind != "multipart/byteranges" {
				checkPart(t, file, a.Header.Get("Content-Range"), body)
				return
			}
			parts := multipart.NewReader(recorder.Body, parameters["boundary"])
			for count := 0; ; count++ {
				part, err := parts.NextPart()
				if err == io.EOF && count > 0 && count <= maxRanges {
					return
				}
				if err != nil {
					t.Fatalf("%q: part %d: %v", header, count, err)
				}
				content, _ := io.ReadAll(part)
				checkPart(t, file, part.Header.Get("Content-Range"), content)
			}
		default:
			t.Fatalf("%q: %s", header, a.Status)
		}
	})
}

// simpleRange parses a header such as bytes=5-9 or bytes=5-. ok is false if the header has another form or
// the range does not lie within the file.
func simpleRange(header string, size int) (first, end int, ok bool) {
	from, to, found := strings.Cut(strings.TrimPrefix(header, "bytes="), "-")
	if !found || !strings.HasPrefix(header, "bytes=") {
		return 0, 0, false
	}
	digits := func(s string) bool { return len(s) > 0 && strings.Trim(s, "0123456789") == "" }
	if !digits(from) || len(from) > 9 || to != "" && !digits(to) {
		return 0, 0, false
	}
	first, _ = strconv.Atoi(from)
	end = size
	if last, err := strconv.Atoi(to); err == nil { // an empty or a huge number leads to the end of the file
		end = min(last, size-1) + 1
	}
	return first, end, first < end
}

// checkPart fails the test unless content is the piece of the file that contentRange describes.
func checkPart(t *testing.T, file []byte, contentRange string, content []byte) {
	t.Helper()
	var first, last, size int
	if _, err := fmt.Sscanf(contentRange, "bytes %d-%d/%d", &first, &last, &size); err != nil || size != len(file) || last >= size || first > last ||
		!slices.Equal(content, file[first:last+1]) {
		t.Fatalf("%d bytes for the Content-Range %q", len(content), contentRange)
	}
}
