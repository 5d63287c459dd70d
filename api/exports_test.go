package api_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"memexport/internal/service/apikey"
	"memexport/internal/service/export"
)

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestAnExportIsAcceptedWhileTemporalIsDown(t *testing.T) {
	t.Parallel()
	s := newService(t)
	start := time.Now()
	a := s.do(t, "POST", "/v1/exports?format=csv&user_id=u").status(t, 202)
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("the answer took %s", took)
	}
	j := a.job(t)
	a.header(t, "Location", "/v1/exports/"+j.ID).header(t, "Retry-After", "1").header(t, "Content-Type", "application/json").header(t, "Cache-Control", "no-store")
	if j.Status != "PENDING" {
		t.Errorf("status %s", j.Status)
	}
	if stored, err := s.exports.Get(t.Context(), s.workspace, j.ID); err != nil || *stored.Filter.UserID != "u" {
		t.Errorf("stored: %+v, %v", stored, err)
	}
	if !strings.Contains(s.log.String(), "could not be started") {
		t.Error("the log does not say that the workflow was not started")
	}
}

func TestTheFieldsOfAnExportComeInOrder(t *testing.T) {
	t.Parallel()
	s := newService(t)
	e := s.create(t, "json")
	body := s.do(t, "GET", "/v1/exports/"+e.ID).status(t, 200).body
	var names []string
	for _, m := range regexp.MustCompile(`"([a-z_0-9]+)":`).FindAllSubmatch(body, -1) {
		names = append(names, string(m[1]))
	}
	want := "id format status user_id agent_id session_id priority categories created_after created_before created_at updated_at " +
		"started_at completed_at expires_at memory_count size_bytes sha256 progress error"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("fields\n%s, want\n%s", got, want)
	}
}

func TestTimesAreInUTCWithMilliseconds(t *testing.T) {
	t.Parallel()
	s := newService(t)
	e := s.create(t, "json")
	for stored, want := range map[string]string{
		"2026-01-15 12:30:00+02":        "2026-01-15T10:30:00.000Z",
		"2026-01-15 10:30:00.120+00":    "2026-01-15T10:30:00.120Z",
		"2026-01-15 10:30:00.123450+00": "2026-01-15T10:30:00.123450Z",
	} {
		if _, err := s.db.Exec(`UPDATE memexport.exports SET created_at = $1 WHERE id = $2`, stored, e.ID); err != nil {
			t.Fatal(err)
		}
		if got := s.do(t, "GET", "/v1/exports/"+e.ID).job(t).CreatedAt; got != want {
			t.Errorf("%s is shown as %s, want %s", stored, got, want)
		}
	}
}

func TestAFailedExportSaysWhy(t *testing.T) {
	t.Parallel()
	s := newService(t)
	e := s.create(t, "json")
	if err := s.exports.Fail(t.Context(), e.ID, export.Failures[export.CodeStorageUnavailable]); err != nil {
		t.Fatal(err)
	}
	a := s.do(t, "GET", "/v1/exports/"+e.ID).status(t, 200).header(t, "Retry-After", "")
	j := a.job(t)
	if j.Status != "FAILED" || j.Error == nil || j.Error.Code != export.CodeStorageUnavailable || j.Error.Message == "" || !j.Error.Retryable {
		t.Errorf("%s", a.body)
	}
	s.do(t, "GET", "/v1/exports/"+e.ID+"/download").header(t, "Retry-After", "").problem(t, 409, "EXPORT_FAILED")
}

func TestTheSameKeyAndParametersGiveTheSameExport(t *testing.T) {
	t.Parallel()
	s := newService(t)
	post := func(query, key string) answer { return s.do(t, "POST", "/v1/exports?"+query, "Idempotency-Key", key) }

	var group sync.WaitGroup
	ids := make([]string, 8)
	for i := range ids {
		group.Go(func() {
			ids[i] = post("user_id=u&created_after=2026-01-01T01:00:00%2B01:00", "k").status(t, 202).job(t).ID
		})
	}
	group.Wait()
	for _, id := range ids {
		if id == "" || id != ids[0] {
			t.Fatalf("several exports: %v", ids)
		}
	}
	if n := s.count(t); n != 1 {
		t.Errorf("%d exports", n)
	}
	if id := post("created_after=2026-01-01&user_id=u&format=json", "k").status(t, 202).job(t).ID; id != ids[0] {
		t.Error("the same parameters in another spelling made another export")
	}
	for _, other := range []string{"user_id=v&created_after=2026-01-01", "user_id=u&created_after=2026-01-01&format=csv", ""} {
		post(other, "k").problem(t, 422, "IDEMPOTENCY_KEY_REUSED")
	}
	if n := s.count(t); n != 1 {
		t.Errorf("%d exports", n)
	}
	if err := s.exports.Fail(t.Context(), ids[0], export.Failures[export.CodeTimedOut]); err != nil {
		t.Fatal(err)
	}
	if j := post("created_after=2026-01-01&user_id=u", "k").status(t, 202).job(t); j.ID != ids[0] || j.Status != "FAILED" {
		t.Errorf("%+v", j)
	}
}

func TestABadIdempotencyKeyIsRefused(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for _, key := range []string{"", strings.Repeat("k", 256), "ü", "a\tb"} {
		p := s.do(t, "POST", "/v1/exports", "Idempotency-Key", key).problem(t, 422, "INVALID_REQUEST")
		if len(p.Errors) != 1 || p.Errors[0].Location != "header.Idempotency-Key" {
			t.Errorf("%q: %+v", key, p.Errors)
		}
	}
	if n := s.count(t); n != 0 {
		t.Errorf("%d exports were created", n)
	}
	s.do(t, "POST", "/v1/exports", "Idempotency-Key", strings.Repeat("k", 255)).status(t, 202)
}

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

func TestADeletedExportIsGone(t *testing.T) {
	t.Parallel()
	s := newService(t)
	e, _ := s.publish(t, "json", time.Hour, "x")
	keep := s.create(t, "json")
	a := s.do(t, "DELETE", "/v1/exports/"+strings.ToUpper(e.ID)).status(t, 204)
	if len(a.body) > 0 {
		t.Errorf("body %s", a.body)
	}
	s.do(t, "GET", "/v1/exports/"+e.ID).problem(t, 404, "EXPORT_NOT_FOUND")
	s.do(t, "GET", "/v1/exports/"+e.ID+"/download").problem(t, 404, "EXPORT_NOT_FOUND")
	s.do(t, "DELETE", "/v1/exports/"+e.ID).problem(t, 404, "EXPORT_NOT_FOUND")
	list := string(s.do(t, "GET", "/v1/exports").status(t, 200).body)
	if strings.Contains(list, e.ID) || !strings.Contains(list, keep.ID) || !strings.Contains(list, `"total":1`) {
		t.Errorf("list %s", list)
	}
	if !strings.Contains(s.log.String(), "could not be cancelled") {
		t.Error("the log does not say that the workflow was not cancelled")
	}
}

func TestAnotherWorkspaceCanNeitherBeReadNorChanged(t *testing.T) {
	t.Parallel()
	s := newService(t)
	theirs, _ := s.publish(t, "json", time.Hour, "x")
	stranger := s.newKey(t, uuid.NewString(), apikey.Permissions...)
	for _, c := range [][2]string{{"GET", ""}, {"HEAD", ""}, {"GET", "/download"}, {"HEAD", "/download"}, {"DELETE", ""}} {
		s.do(t, c[0], "/v1/exports/"+theirs.ID+c[1], "X-Api-Key", stranger).problem(t, 404, "EXPORT_NOT_FOUND")
	}
	list := string(s.do(t, "GET", "/v1/exports", "X-Api-Key", stranger).status(t, 200).body)
	if !strings.Contains(list, `"data":[]`) || !strings.Contains(list, `"total":0`) {
		t.Errorf("list %s", list)
	}
	s.do(t, "GET", "/v1/exports/"+theirs.ID+"/download").status(t, 200)

	// Each workspace has its own idempotency keys.
	own := s.do(t, "POST", "/v1/exports", "Idempotency-Key", "k").status(t, 202).job(t).ID
	other := s.do(t, "POST", "/v1/exports?user_id=u", "Idempotency-Key", "k", "X-Api-Key", stranger).status(t, 202).job(t).ID
	if own == other {
		t.Error("two workspaces share an export")
	}
}
