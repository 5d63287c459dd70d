package api_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"

	"memexport/internal/service/format"
)

func TestABadQueryIsRefusedAndCreatesNothing(t *testing.T) {
	t.Parallel()
	s := newService(t)
	long := strings.Repeat("x", 513)
	item := strings.Repeat("x", 257)
	many := strings.Join(strings.Split("abcdefghijklmnopqrstu", ""), ",")
	for _, c := range []struct{ query, location string }{
		{"usr_id=u", "query.usr_id"},
		{"user_id=u&UserID=u", "query.UserID"},
		{"page=1", "query.page"},
		{"=u", "query."},
		{"user_id=", "query.user_id"},
		{"user_id", "query.user_id"},
		{"priority=", "query.priority"},
		{"format=", "query.format"},
		{"categories=", "query.categories"},
		{"created_after=", "query.created_after"},
		{"user_id=a&user_id=b", "query.user_id"},
		{"user_id=a&user_id=a", "query.user_id"},
		{"format=csv&format=json", "query.format"},
		{"created_after=2026-01-01&created_after=2026-01-02", "query.created_after"},
		{"format=xml", "query.format"},
		{"format=CSV", "query.format"},
		{"priority=low", "query.priority"},
		{"priority=LOW,HIGH", "query.priority"},
		{"user_id=" + long, "query.user_id"},
		{"agent_id=" + long, "query.agent_id"},
		{"session_id=" + long, "query.session_id"},
		{"categories=" + many, "query.categories"},
		{"categories=" + strings.ReplaceAll(many, ",", "&categories="), "query.categories"},
		{"categories=a,,b", "query.categories[1]"},
		{"categories=,", "query.categories[0]"},
		{"categories=a&categories=b,", "query.categories[2]"},
		{"categories=a&categories=", "query.categories"},
		{"categories=a," + item, "query.categories[1]"},
		{"categories=a&categories=" + item, "query.categories[1]"},
		{"categories=a%00b", "query.categories"},
		{"categories=%ff", "query.categories"},
		{"user_id=%00", "query.user_id"},
		{"user_id=a%C0%80", "query.user_id"},
		{"user_id%00=a", "query.user_id\x00"},
		{"created_after=yesterday", "query.created_after"},
		{"created_after=2026-01-15T10:30:00", "query.created_after"},
		{"created_after=2026-01-15T10:30:00+02:00", "query.created_after"},
		{"created_after=2026-01-15T10:30:00,5Z", "query.created_after"},
		{"created_after=2026-02-30", "query.created_after"},
		{"created_after=9999-12-31T23:59:59-23:59", "query.created_after"},
		{"created_before=0001-01-01T00:00:00%2B23:59", "query.created_before"},
		{"created_before=0000-01-01", "query.created_before"},
		{"created_before=20260115", "query.created_before"},
		{"created_before=1768473000", "query.created_before"},
		{"created_after=2026-01-15&created_before=2026-01-15", "query"},
		{"created_after=2026-01-15T00:00:00Z&created_before=2026-01-15T02:00:00%2B02:00", "query"},
		{"user_id=%zz", "query"},
		{"user_id=%", "query"},
		{"user_id=a;agent_id=b", "query"},
	} {
		p := s.do(t, "POST", "/v1/exports?"+c.query).problem(t, 422, "INVALID_REQUEST")
		if len(p.Errors) != 1 || p.Errors[0].Location != c.location || p.Errors[0].Message == "" {
			t.Errorf("%s: errors %+v, want one at %s", c.query, p.Errors, c.location)
		}
	}
	if n := s.count(t); n != 0 {
		t.Errorf("%d exports were created", n)
	}
}

func TestEveryMistakeIsReportedAtOnce(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := s.send(t, "POST", "/v1/exports?format=xml&priority=no&categories=,&created_after=x", strings.NewReader("[]"), "Idempotency-Key", "é").problem(t, 422, "INVALID_REQUEST")
	var locations []string
	for _, e := range p.Errors {
		locations = append(locations, e.Location)
	}
	if got, want := strings.Join(locations, " "), "query.format header.Idempotency-Key query.priority query.categories[0] query.created_after body"; got != want {
		t.Errorf("locations %s, want %s", got, want)
	}
}

func TestTheMessageAboutABadDateShowsValidOnes(t *testing.T) {
	t.Parallel()
	s := newService(t)
	message := s.do(t, "POST", "/v1/exports?created_after=2026-01-15T10:30:00+02:00").problem(t, 422, "INVALID_REQUEST").Errors[0].Message
	for _, want := range []string{"2026-01-15T10:30:00Z", "2026-01-15,", "%2B", "space"} {
		if !strings.Contains(message, want) {
			t.Errorf("%q does not mention %q", message, want)
		}
	}
}

func TestTheValueOfAFilterIsNeverRepeated(t *testing.T) {
	t.Parallel()
	s := newService(t)
	const secret = "alice-the-secret"
	for _, query := range []string{"priority=" + secret, "created_after=" + secret, "format=" + secret,
		"user_id=" + strings.Repeat(secret, 40), "categories=" + secret + "," + strings.Repeat(secret, 40), "user_id=" + secret + "&user_id=b", "user_id=" + secret + "%00"} {
		a := s.do(t, "POST", "/v1/exports?"+query)
		a.problem(t, 422, "INVALID_REQUEST")
		if bytes.Contains(a.body, []byte(secret)) {
			t.Errorf("%s: %s", query, a.body)
		}
	}
	if strings.Contains(s.log.String(), secret) {
		t.Error("the log has the value of a filter")
	}
	if strings.Contains(s.log.String(), s.key) {
		t.Error("the log has an API key")
	}
}

func TestABodyIsRefused(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for _, body := range []string{`{"user_id":"u"}`, `[]`, `null`, `{}{}`, `{`, ` `, `x`, "user_id=u", "{" + strings.Repeat(" ", 64<<10) + "}"} {
		for _, contentType := range []string{"application/json", "application/x-www-form-urlencoded", "text/plain", ""} {
			for _, chunked := range []bool{false, true} {
				var reader io.Reader = strings.NewReader(body)
				if chunked {
					reader = io.MultiReader(reader) // a reader whose length http.NewRequest does not know
				}
				p := s.send(t, "POST", "/v1/exports", reader, "Content-Type", contentType).problem(t, 422, "INVALID_REQUEST")
				if len(p.Errors) != 1 || p.Errors[0].Location != "body" {
					t.Errorf("%s: errors %+v", body, p.Errors)
				}
			}
		}
	}
	if n := s.count(t); n != 0 {
		t.Errorf("%d exports were created", n)
	}
}

func TestAnEmptyBodyIsAccepted(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for _, body := range []string{"", "{}", " { }\n"} {
		t.Run(body, func(t *testing.T) {
			t.Parallel()
			s.send(t, "POST", "/v1/exports", io.MultiReader(strings.NewReader(body)), "Content-Type", "application/json").status(t, 202)
		})
	}
}

func TestOtherOperationsRefuseBadQueriesToo(t *testing.T) {
	t.Parallel()
	s := newService(t)
	e := s.create(t, "json")
	for _, c := range []struct{ method, target, location string }{
		{"GET", "/v1/exports?page=0", "query.page"},
		{"GET", "/v1/exports?page=-1", "query.page"},
		{"GET", "/v1/exports?page=1000001", "query.page"},
		{"GET", "/v1/exports?page=99999999999999999999", "query.page"},
		{"GET", "/v1/exports?page=1.5", "query.page"},
		{"GET", "/v1/exports?page=", "query.page"},
		{"GET", "/v1/exports?page", "query.page"},
		{"GET", "/v1/exports?page=1&page=2", "query.page"},
		{"GET", "/v1/exports?page_size=0", "query.page_size"},
		{"GET", "/v1/exports?page_size=101", "query.page_size"},
		{"GET", "/v1/exports?page_size=x", "query.page_size"},
		{"GET", "/v1/exports?status=READY", "query.status"},
		{"GET", "/v1/exports?pagesize=5", "query.pagesize"},
		{"GET", "/v1/exports?page=%zz", "query"},
		{"GET", "/v1/exports?page=1;page_size=2", "query"},
		{"GET", "/v1/exports/" + e.ID + "?x=1", "query.x"},
		{"GET", "/v1/exports/" + e.ID + "/download?format=csv", "query.format"},
		{"DELETE", "/v1/exports/" + e.ID + "?force=true", "query.force"},
		{"DELETE", "/v1/exports/" + e.ID + "?%ff", "query.\uFFFD"},
		{"DELETE", "/v1/exports/" + e.ID + "?" + strings.Repeat("x", 100) + "=1", "query." + strings.Repeat("x", 64) + "..."},
	} {
		p := s.do(t, c.method, c.target).problem(t, 422, "INVALID_REQUEST")
		if len(p.Errors) != 1 || p.Errors[0].Location != c.location {
			t.Errorf("%s: errors %+v, want one at %s", c.target, p.Errors, c.location)
		}
	}
	s.do(t, "GET", "/v1/exports/"+e.ID).status(t, 200)
}

func TestAnOverlongURLIsRefused(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.do(t, "POST", "/v1/exports?user_id="+strings.Repeat("x", 16<<10)).problem(t, 414, "URI_TOO_LONG")
	s.do(t, "GET", "/"+strings.Repeat("x", 16<<10)).problem(t, 414, "URI_TOO_LONG")
	s.do(t, "POST", "/v1/exports?user_id="+strings.Repeat("x", 16<<10-100)).problem(t, 422, "INVALID_REQUEST")
	if n := s.count(t); n != 0 {
		t.Errorf("%d exports were created", n)
	}
}

func TestFiltersAreKeptAndShown(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for name, c := range map[string]struct {
		query string
		want  map[string]any
	}{
		"none": {"", map[string]any{"format": "json", "user_id": nil, "agent_id": nil, "session_id": nil, "priority": nil,
			"categories": nil, "created_after": nil, "created_before": nil}},
		"all": {"format=csv&user_id=" + url.QueryEscape("ü+ &%") + "&agent_id=a&session_id=s&priority=HIGH&categories=x,y&created_after=2026-01-01&created_before=2026-01-15T10:30:00.123456%2B02:00",
			map[string]any{"format": "csv", "user_id": "ü+ &%", "agent_id": "a", "session_id": "s", "priority": "HIGH",
				"categories": []any{"x", "y"}, "created_after": "2026-01-01T00:00:00.000Z", "created_before": "2026-01-15T08:30:00.123456Z"}},
		"repeated":                    {"categories=x,y&categories=z&categories=x,%20y", map[string]any{"categories": []any{"x", "y", "z", " y"}}},
		"duplicates beyond the limit": {"categories=" + strings.Repeat("a,b,", 20) + "c", map[string]any{"categories": []any{"a", "b", "c"}}},
		"longest": {"user_id=" + strings.Repeat("%C3%BC", 512) + "&categories=" + strings.Repeat("%C3%BC", 256),
			map[string]any{"user_id": strings.Repeat("ü", 512), "categories": []any{strings.Repeat("ü", 256)}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := s.do(t, "POST", "/v1/exports?"+c.query).status(t, 202)
			for _, body := range [][]byte{a.body, s.do(t, "GET", a.Header.Get("Location")).status(t, 200).body} {
				var got map[string]any
				answer{Response: a.Response, body: body}.decode(t, &got)
				for field, want := range c.want {
					if g, w := mustJSON(t, got[field]), mustJSON(t, want); g != w {
						t.Errorf("%s: %s, want %s", field, g, w)
					}
				}
			}
		})
	}
}

func TestEveryFormatIsAccepted(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for _, f := range format.All {
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			if got := s.do(t, "POST", "/v1/exports?format="+f.Name).status(t, 202).job(t).Format; got != f.Name {
				t.Errorf("the format is %s", got)
			}
		})
	}
}

func TestAnIDThatIsNotAUUIDIsNotFound(t *testing.T) {
	t.Parallel()
	s := newService(t)
	e := s.create(t, "json")
	for _, id := range []string{"x", "1", "%00", "%ff", "{" + e.ID + "}", "urn:uuid:" + e.ID, strings.ReplaceAll(e.ID, "-", ""), uuid.NewString(), e.ID + "%20"} {
		s.do(t, "GET", "/v1/exports/"+id).problem(t, 404, "EXPORT_NOT_FOUND")
		s.do(t, "GET", "/v1/exports/"+id+"/download").problem(t, 404, "EXPORT_NOT_FOUND")
		s.do(t, "DELETE", "/v1/exports/"+id).problem(t, 404, "EXPORT_NOT_FOUND")
	}
	if got := s.do(t, "GET", "/v1/exports/"+strings.ToUpper(e.ID)).status(t, 200).job(t).ID; got != e.ID {
		t.Errorf("the id is %s", got)
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
