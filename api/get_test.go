package api_test

import (
	"context"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"memexport/internal/service/export"
	"memexport/internal/workshop/await"
)

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
		t.Errorf("the fields are\n%s, want\n%s", got, want)
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

func TestTheAnswerWaitsUntilTheExportIsTerminal(t *testing.T) {
	t.Parallel()
	s := newService(t)
	e := s.create(t, "json")
	go func() {
		time.Sleep(400 * time.Millisecond)
		_, _ = s.db.Exec(`UPDATE memexport.exports SET status = 'FAILED' WHERE id = $1`, e.ID)
	}()
	start := time.Now()
	a := s.do(t, "GET", "/v1/exports/"+e.ID, "Prefer", "respond-async, Wait = 30; x=y").status(t, 200)
	a.header(t, "Preference-Applied", "wait=30").header(t, "Retry-After", "")
	if took := time.Since(start); a.job(t).Status != "FAILED" || took < 350*time.Millisecond || took > 20*time.Second {
		t.Errorf("%s after %s", a.job(t).Status, took)
	}
}

func TestTheAnswerComesWhenTheWaitIsOver(t *testing.T) {
	t.Parallel()
	s := newService(t)
	e := s.create(t, "json")
	s.process(t, e.ID)
	start := time.Now()
	a := s.do(t, "GET", "/v1/exports/"+e.ID, "Prefer", "wait=1").status(t, 200).header(t, "Preference-Applied", "wait=1").header(t, "Retry-After", "1")
	if took := time.Since(start); a.job(t).Status != "PROCESSING" || took < time.Second || took > 20*time.Second {
		t.Errorf("%s after %s", a.job(t).Status, took)
	}
}

func TestAPreferenceThatCannotBeUnderstoodIsIgnored(t *testing.T) {
	t.Parallel()
	s := newService(t)
	e := s.create(t, "json")
	for _, prefer := range []string{"", "wait", "wait=", "wait=x", "wait=-1", "wait=1.5", "wait=99999999999999999999", "waits=5", "return=minimal", ",;=", "wait=x, wait=5"} {
		start := time.Now()
		s.do(t, "GET", "/v1/exports/"+e.ID, "Prefer", prefer).status(t, 200).header(t, "Preference-Applied", "").header(t, "Retry-After", "1")
		if took := time.Since(start); took >= 5*time.Second {
			t.Errorf("%q: the answer took %s", prefer, took)
		}
	}
}

func TestTheWaitIsCapped(t *testing.T) {
	t.Parallel()
	s := newService(t)
	e, _ := s.publish(t, "json", time.Hour, "x")
	s.do(t, "GET", "/v1/exports/"+e.ID, "Prefer", `wait="3600"`).status(t, 200).header(t, "Preference-Applied", "wait=60")
	s.do(t, "GET", "/v1/exports/"+e.ID, "Prefer", "wait=0").status(t, 200).header(t, "Preference-Applied", "wait=0")
}

func TestManyRequestsThatWaitForOneExportCostFewTransactions(t *testing.T) {
	t.Parallel()
	s := newService(t)
	e := s.create(t, "json")
	s.process(t, e.ID)
	before := s.transactions(t)
	const waiting = 60
	var group sync.WaitGroup
	for range waiting {
		group.Go(func() {
			if got := s.do(t, "GET", "/v1/exports/"+e.ID, "Prefer", "wait=3").status(t, 200).job(t).Status; got != "PROCESSING" {
				t.Errorf("the status is %s", got)
			}
		})
	}
	group.Wait()
	// Each request looks up its key once and reads the row once. The watcher reads the row about 90 times
	// in the first three seconds of an export. If each request had its own watcher, there would be 5,000
	// transactions.
	if n := s.transactions(t) - before; n > 2*waiting+500 {
		t.Errorf("%d requests that wait cost %d transactions", waiting, n)
	}
}

// transactions returns how many transactions Postgres has counted in the database. Each connection reports
// its transactions at most once a second.
func (s *service) transactions(t *testing.T) (n int) {
	t.Helper()
	if err := s.db.GetContext(t.Context(), &n, `SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()`); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAWaitingRequestEndsWhenItsClientLeaves(t *testing.T) {
	t.Parallel()
	s := newService(t)
	e := s.create(t, "json")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, "GET", s.url+"/v1/exports/"+e.ID, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Api-Key", s.key)
	request.Header.Set("Prefer", "wait=60")
	if response, err := http.DefaultClient.Do(request); err == nil {
		response.Body.Close()
		t.Fatal("an answer came")
	}
	await.True(t, 2*time.Second, "the request is no longer being served", func() bool { return s.requests() == 1 })
}

func TestAServerThatStopsAnswersTheRequestsThatWait(t *testing.T) {
	t.Parallel()
	s := newService(t)
	e := s.create(t, "json")
	s.process(t, e.ID)
	answered := make(chan answer, 1)
	go func() { answered <- s.do(t, "GET", "/v1/exports/"+e.ID, "Prefer", "wait=60") }()
	s.log.await(t, "action=export.read") // the next step of the request is to wait
	start := time.Now()
	if err := s.server.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("the server needed %s to stop", took)
	}
	a := (<-answered).status(t, 200).header(t, "Retry-After", "1")
	if j := a.job(t); j.Status != "PROCESSING" || !a.Close {
		t.Errorf("the status is %s, the connection is closed: %t", j.Status, a.Close)
	}
}

func TestAnExportThatIsDeletedDuringTheWaitIsNotFound(t *testing.T) {
	t.Parallel()
	s := newService(t)
	e := s.create(t, "json")
	go func() {
		time.Sleep(200 * time.Millisecond)
		_ = s.exports.Delete(context.Background(), s.workspace, e.ID)
	}()
	s.do(t, "GET", "/v1/exports/"+e.ID, "Prefer", "wait=30").problem(t, 404, "EXPORT_NOT_FOUND")
}
