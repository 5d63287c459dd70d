package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"memexport/api"
	"memexport/internal/service/apikey"
	"memexport/internal/workshop/await"
)

// checkRefusal checks an answer that refuses a request because its key has reached a limit.
func checkRefusal(t *testing.T, a answer, limit, policy string) {
	t.Helper()
	p := a.header(t, "Retry-After", "1").header(t, "RateLimit", limit+";r=0;t=1").header(t, "RateLimit-Policy", policy).problem(t, 429, "RATE_LIMITED")
	if !strings.Contains(p.Detail, "The limit is ") {
		t.Errorf("%q does not name the limit", p.Detail)
	}
}

func TestAKeyThatMakesTooManyRequestsIsRefused(t *testing.T) {
	t.Parallel()
	s := newService(t, func(o *api.Options) { o.Limits.RequestsPerSecond = 1 })
	other := s.newKey(t, s.workspace, apikey.Permissions...)
	start := time.Now()
	var refused answer
	for refused.Response == nil {
		if time.Since(start) > 20*time.Second {
			t.Fatal("no request is refused")
		}
		if a := s.do(t, "GET", "/v1/exports"); a.StatusCode != 200 {
			refused = a
		}
	}
	checkRefusal(t, refused, `"requests"`, `"requests";q=5;w=5`)
	if n := strings.Count(s.log.String(), "status=200"); n < 5 || n > 5+int(time.Since(start).Seconds()) {
		t.Errorf("%d requests passed in %s, want 5 and one for each second", n, time.Since(start))
	}
	s.do(t, "GET", "/v1/exports", "X-Api-Key", other).status(t, 200)
	s.do(t, "GET", "/v1/exports", "X-Api-Key", "msk_test_unknown").status(t, 401)
	await.True(t, time.Minute, "the key may make requests again", func() bool { return s.do(t, "GET", "/v1/exports").StatusCode == 200 })
}

func TestRequestsWithoutThePermissionCountToo(t *testing.T) {
	t.Parallel()
	s := newService(t, func(o *api.Options) { o.Limits.RequestsPerSecond = 1 })
	writer := s.newKey(t, s.workspace, apikey.WriteExports)
	for start := time.Now(); ; {
		a := s.do(t, "GET", "/v1/exports", "X-Api-Key", writer)
		if a.StatusCode == 429 {
			break
		}
		a.problem(t, 403, "PERMISSION_DENIED")
		if time.Since(start) > 20*time.Second {
			t.Fatal("no request is refused with 429")
		}
	}
}

func TestTheLogNamesTheClientThatALimitRefuses(t *testing.T) {
	t.Parallel()
	s := newService(t, func(o *api.Options) { o.Limits.RequestsPerSecond, o.AuthFailures = 1, 1 })
	for s.do(t, "GET", "/v1/exports").StatusCode == 200 {
	}
	for s.do(t, "GET", "/v1/exports", "X-Api-Key", "msk_live_wrong").StatusCode == 401 {
	}
	s.log.await(t, "status=401")
	for line := range strings.Lines(s.log.String()) {
		hasKey, hasAddress := strings.Contains(line, "key_id="), strings.Contains(line, "address=127.0.0.1")
		if strings.Contains(line, "msg=request") && hasKey == hasAddress {
			t.Errorf("a line has a key id: %t, an address: %t:\n%s", hasKey, hasAddress, line)
		}
	}
	if log := s.log.String(); !strings.Contains(log, "status=429") {
		t.Errorf("no request was refused:\n%s", log)
	}
}

// A request that is refused because of the rate limit must not need a database query.
func TestARequestBeyondTheRateCostsNoQuery(t *testing.T) {
	t.Parallel()
	s := newService(t, func(o *api.Options) { o.Limits.RequestsPerSecond = 1 })
	for s.do(t, "GET", "/v1/exports").StatusCode == 200 {
	}
	s.db.Close()
	for range 20 {
		a := s.do(t, "GET", "/v1/exports")
		if a.StatusCode == 503 { // the rate allows a request again, and the request fails because there is no database
			return
		}
		a.problem(t, 429, "RATE_LIMITED")
	}
}

func TestOneKeyMayWaitForSoManyExportsAtOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		limits api.Limits
		refuse func(*testing.T, answer)
	}{
		"per key": {api.Limits{LongPollsPerKey: 3}, func(t *testing.T, a answer) { checkRefusal(t, a, `"long-polls"`, `"long-polls";q=3`) }},
		"in all":  {api.Limits{LongPolls: 3}, func(t *testing.T, a answer) { a.header(t, "Retry-After", "5").problem(t, 503, "UNAVAILABLE") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newService(t, func(o *api.Options) { o.Limits = c.limits })
			e := s.create(t, "json")
			answers := make(chan answer, 5)
			for range cap(answers) {
				go func() { answers <- s.do(t, "GET", "/v1/exports/"+e.ID, "Prefer", "wait=6") }()
			}
			for range 2 { // the two refusals arrive at once, before the other answers
				c.refuse(t, <-answers)
			}
			s.do(t, "GET", "/v1/exports/"+e.ID).status(t, 200)
			s.do(t, "GET", "/v1/exports/"+e.ID, "Prefer", "wait=0").status(t, 200)
			for range 3 {
				(<-answers).status(t, 200)
			}
			s.do(t, "GET", "/v1/exports/"+e.ID, "Prefer", "wait=1").status(t, 200)
		})
	}
}

func TestOneKeyMayDownloadSoManyFilesAtOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		limits api.Limits
		refuse func(*testing.T, answer)
	}{
		"per key": {api.Limits{DownloadsPerKey: 2}, func(t *testing.T, a answer) { checkRefusal(t, a, `"downloads"`, `"downloads";q=2`) }},
		"in all":  {api.Limits{Downloads: 2}, func(t *testing.T, a answer) { a.header(t, "Retry-After", "5").problem(t, 503, "UNAVAILABLE") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newService(t, func(o *api.Options) { o.Limits = c.limits })
			e, _ := s.publish(t, "json", time.Hour, strings.Repeat("x", 16<<20))
			path := "/v1/exports/" + e.ID + "/download"
			first, second := s.open(t, path), s.open(t, path)
			defer second.Body.Close()
			c.refuse(t, s.do(t, "GET", path))
			s.do(t, "GET", "/v1/exports").status(t, 200)
			first.Body.Close() // this also closes the connection, because the file has not been read to its end
			await.True(t, time.Minute, "a download ends", func() bool { return s.do(t, "GET", path).StatusCode == 200 })
		})
	}
}

// Each download of its own list of parts would take megabytes if the export is large.
func TestDownloadsOfAFileShareTheListOfItsParts(t *testing.T) {
	t.Parallel()
	s := newService(t)
	e, file := s.publish(t, "json", time.Hour, strings.Repeat("x", 16<<20), "another part")
	path := "/v1/exports/" + e.ID + "/download"
	first := s.open(t, path)
	s.db.MustExec(`DELETE FROM memexport.export_parts WHERE export_id = $1`, e.ID)
	for range 2 {
		if a := s.do(t, "GET", path).status(t, 200); string(a.body) != file {
			t.Errorf("a download beside the first has %d bytes, want %d", len(a.body), len(file))
		}
	}
	first.Body.Close()
	await.True(t, time.Minute, "the list is forgotten", func() bool { return s.do(t, "HEAD", path).StatusCode == 500 })
}

// open sends a request and returns when the headers of the answer have arrived.
func (s *service) open(t *testing.T, path string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), "GET", s.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Api-Key", s.key)
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != 200 {
		t.Fatal(response.Status)
	}
	return response
}
