package api_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

func TestTheListIsPagedNewestFirst(t *testing.T) {
	t.Parallel()
	s := newService(t)
	list := func(query string) (ids []string, meta string, link string) {
		t.Helper()
		var body struct {
			Data []job
			Meta json.RawMessage
		}
		a := s.do(t, "GET", "/v1/exports"+query).status(t, 200)
		a.decode(t, &body)
		for _, j := range body.Data {
			ids = append(ids, j.ID)
		}
		if body.Data == nil {
			t.Error("data is null")
		}
		return ids, string(body.Meta), a.Header.Get("Link")
	}
	_, meta, link := list("")
	if want := `{"current_page":1,"per_page":20,"total":0,"last_page":1}`; meta != want {
		t.Errorf("meta %s, want %s", meta, want)
	}
	if want := `</v1/exports?page=1&page_size=20>; rel="first", </v1/exports?page=1&page_size=20>; rel="last"`; link != want {
		t.Errorf("link %s, want %s", link, want)
	}
	var newestFirst []string
	for range 5 {
		newestFirst = append([]string{s.create(t, "json").ID}, newestFirst...)
	}
	for _, c := range []struct {
		query string
		ids   []string
		meta  string
		link  string
	}{
		{"", newestFirst, `{"current_page":1,"per_page":20,"total":5,"last_page":1}`, "first=1 last=1"},
		{"?page_size=2", newestFirst[:2], `{"current_page":1,"per_page":2,"total":5,"last_page":3}`, "first=1 next=2 last=3"},
		{"?page=2&page_size=2", newestFirst[2:4], `{"current_page":2,"per_page":2,"total":5,"last_page":3}`, "first=1 prev=1 next=3 last=3"},
		{"?page=3&page_size=2", newestFirst[4:], `{"current_page":3,"per_page":2,"total":5,"last_page":3}`, "first=1 prev=2 last=3"},
		{"?page=9&page_size=2", nil, `{"current_page":9,"per_page":2,"total":5,"last_page":3}`, "first=1 prev=3 last=3"},
		{"?page=1000000&page_size=100", nil, `{"current_page":1000000,"per_page":100,"total":5,"last_page":1}`, "first=1 prev=1 last=1"},
	} {
		ids, meta, link := list(c.query)
		if strings.Join(ids, " ") != strings.Join(c.ids, " ") {
			t.Errorf("%s: %v, want %v", c.query, ids, c.ids)
		}
		if meta != c.meta {
			t.Errorf("%s: meta %s, want %s", c.query, meta, c.meta)
		}
		link = regexp.MustCompile(`</v1/exports\?page=(\d+)&page_size=\d+>; rel="(\w+)",?`).ReplaceAllString(link, "$2=$1")
		if link != c.link {
			t.Errorf("%s: link %s, want %s", c.query, link, c.link)
		}
	}
}
