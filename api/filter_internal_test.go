package api

import (
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
)

// To add a filter, it must be enough to add a field to memory.Filter.
func TestANewFilterNeedsOnlyAField(t *testing.T) {
	type someday struct {
		App     *string    `query:"app_id" minLength:"2"`
		Status  *string    `query:"status" enum:"A,B"`
		Tags    []string   `query:"tags" maxItems:"2" maxLength:"3"`
		Seen    *time.Time `query:"seen_after"`
		Count   *int64     `query:"min_count" minimum:"1"`
		Private *bool      `query:"private"`
	}
	registry := newRegistry()
	params := paramsOf(registry, reflect.TypeFor[someday]())
	parse := func(query string) (someday, string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		var filter someday
		var wrong []string
		for _, err := range parseParams(registry, params, values, reflect.ValueOf(&filter).Elem()) {
			wrong = append(wrong, err.Error())
		}
		return filter, strings.Join(wrong, "\n")
	}
	f, wrong := parse("app_id=xy&status=B&tags=abc,d&seen_after=2026-01-01&min_count=3&private=true")
	if wrong != "" || *f.App != "xy" || *f.Status != "B" || len(f.Tags) != 2 || f.Seen.Year() != 2026 || *f.Count != 3 || !*f.Private {
		t.Errorf("%+v %s", f, wrong)
	}
	if f, wrong := parse(""); wrong != "" || !reflect.ValueOf(f).IsZero() {
		t.Errorf("%+v %s", f, wrong)
	}
	for _, query := range []string{"app_id=x", "status=C", "tags=a,b,c", "tags=abcd", "seen_after=x", "min_count=0", "min_count=x", "min_count=99999999999999999999", "private=yes"} {
		name, _, _ := strings.Cut(query, "=")
		if _, wrong := parse(query); !strings.Contains(wrong, "query."+name) {
			t.Errorf("%s: %q", query, wrong)
		}
	}
}
