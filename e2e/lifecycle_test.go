package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"memexport/internal/workshop/await"
)

func TestAnExportCanBeDownloadedOnlyWhenItIsReady(t *testing.T) {
	s := sharedStack(t)
	c := s.newTenant(t)
	generate(t, s.db, c.workspace, 10, 100)
	release := blockReading(t, s.db)
	e := c.create(t, "")
	same(t, "the default format", e.Format, "json")
	a := c.do(t, "GET", "/v1/exports/"+e.ID+"/download").problem(t, 409, "EXPORT_NOT_READY")
	if a.header.Get("Retry-After") == "" {
		t.Error("a 409 without Retry-After")
	}
	began := time.Now()
	a = c.do(t, "GET", "/v1/exports/"+e.ID, "Prefer", "wait=1").want(t, 200)
	same(t, "Preference-Applied", a.header.Get("Preference-Applied"), "wait=1")
	if waiting := a.export(t); time.Since(began) < time.Second || waiting.Status != "PENDING" && waiting.Status != "PROCESSING" || a.header.Get("Retry-After") == "" {
		t.Errorf("after %s the export is %s", time.Since(began), waiting.Status)
	}
	c.do(t, "GET", "/v1/exports/"+e.ID+"/download").problem(t, 409, "EXPORT_NOT_READY")
	time.AfterFunc(500*time.Millisecond, release)
	waited := c.get(t, e.ID, "Prefer", "wait=60")
	same(t, "the status after waiting", waited.Status, "READY")
	checkFile(t, c.client, waited, table(t, s.db, c.workspace, ""))
}

func TestADeletedExportIsGoneWithItsObjects(t *testing.T) {
	s := sharedStack(t)
	c := s.newTenant(t)
	generate(t, s.db, c.workspace, 10, 100)
	finished := c.ready(t, c.create(t, "format=markdown").ID, time.Minute)
	if len(s.objects(t, finished.ID)) == 0 {
		t.Error("the bucket has no object of a READY export")
	}
	release := blockReading(t, s.db)
	running := c.create(t, "format=csv")
	for _, e := range []object{finished, running} {
		a := c.do(t, "DELETE", "/v1/exports/"+e.ID).want(t, 204)
		same(t, "bytes in the answer to a DELETE", len(a.body), 0)
		c.do(t, "GET", "/v1/exports/"+e.ID).problem(t, 404, "EXPORT_NOT_FOUND")
		c.do(t, "GET", "/v1/exports/"+e.ID+"/download").problem(t, 404, "EXPORT_NOT_FOUND")
		c.do(t, "DELETE", "/v1/exports/"+e.ID).problem(t, 404, "EXPORT_NOT_FOUND")
	}
	same(t, "exports in the list", c.list(t, "").Meta.Total, 0)
	release()
	for _, e := range []object{finished, running} {
		await.True(t, time.Minute, "no object of the deleted export is left, and its row says so", func() bool {
			var purged bool
			if err := s.db.QueryRow(`SELECT purged_at IS NOT NULL FROM memexport.exports WHERE id = $1`, e.ID).Scan(&purged); err != nil {
				t.Fatal(err)
			}
			return purged && len(s.objects(t, e.ID)) == 0
		})
		c.do(t, "GET", "/v1/exports/"+e.ID).problem(t, 404, "EXPORT_NOT_FOUND")
	}
}

func TestARepeatedIdempotencyKeyReturnsTheSameExport(t *testing.T) {
	s := sharedStack(t)
	c := s.newTenant(t)
	var mu sync.Mutex
	ids := map[string]int{}
	var group sync.WaitGroup
	for range 10 {
		group.Go(func() {
			a, err := c.try(t.Context(), "POST", "/v1/exports?format=csv&priority=LOW", "Idempotency-Key", "nightly")
			mu.Lock()
			defer mu.Unlock()
			if err != nil || a.status != 202 {
				t.Errorf("%v, %+v", err, a)
				return
			}
			ids[a.header.Get("Location")]++
		})
	}
	group.Wait()
	same(t, "exports of ten requests at once", len(ids), 1)
	e := c.create(t, "priority=LOW&format=csv", "Idempotency-Key", "nightly")
	same(t, "requests that returned this export", ids["/v1/exports/"+e.ID], 10)
	for _, query := range []string{"format=csv", "format=json&priority=LOW", "format=csv&priority=LOW&user_id=x"} {
		c.do(t, "POST", "/v1/exports?"+query, "Idempotency-Key", "nightly").problem(t, 422, "IDEMPOTENCY_KEY_REUSED")
	}
	c.ready(t, e.ID, time.Minute)
	same(t, "the export of a request after READY", c.create(t, "format=csv&priority=LOW", "Idempotency-Key", "nightly").ID, e.ID)
	c.do(t, "DELETE", "/v1/exports/"+e.ID).want(t, 204)
	if again := c.create(t, "format=csv&priority=LOW", "Idempotency-Key", "nightly"); again.ID == e.ID {
		t.Error("the key of a deleted export returns that export")
	}
	same(t, "exports", c.list(t, "").Meta.Total, 1)
	for _, key := range []string{"", strings.Repeat("x", 256), "ü"} {
		c.do(t, "POST", "/v1/exports", "Idempotency-Key", key).problem(t, 422, "INVALID_REQUEST")
	}
}

func TestAFileCanBeFetchedInRanges(t *testing.T) {
	s := sharedStack(t)
	c := s.newTenant(t)
	generate(t, s.db, c.workspace, 40_000, 500) // enough for a file with several parts
	for format := range formats {
		t.Run(format, func(t *testing.T) { fetchInRanges(t, s, c.client, format) })
	}
}

func fetchInRanges(t *testing.T, s *stack, c *client, format string) {
	e := c.ready(t, c.create(t, "format="+format).ID, time.Minute)
	parts := len(s.objects(t, e.ID))
	path := "/v1/exports/" + e.ID + "/download"
	whole := c.do(t, "GET", path).want(t, 200)
	size := len(whole.body)
	etag := whole.header.Get("ETag")
	same(t, "the ETag", etag, `"`+*e.SHA256+`"`)
	same(t, "the digest of the file", hexDigest(whole.body), *e.SHA256)
	if parts < 2 {
		t.Errorf("the file has %d parts, so this tests no border between parts", parts)
	}
	var joined []byte
	for at, step := 0, size/7+1; at < size; at += step {
		last := min(at+step, size) - 1
		piece := c.do(t, "GET", path, "Range", fmt.Sprintf("bytes=%d-%d", at, last), "If-Range", etag).want(t, 206)
		same(t, "Content-Range", piece.header.Get("Content-Range"), fmt.Sprintf("bytes %d-%d/%d", at, last, size))
		joined = append(joined, piece.body...)
	}
	if !bytes.Equal(joined, whole.body) {
		t.Error("the ranges together are not the file")
	}
	tail := c.do(t, "GET", path, "Range", "bytes=-5").want(t, 206)
	same(t, "the last bytes", string(tail.body), string(whole.body[size-5:]))
	same(t, "bytes sent for an If-Range of another file", len(c.do(t, "GET", path, "Range", "bytes=0-9", "If-Range", `"x"`).want(t, 200).body), size)
	c.do(t, "GET", path, "Range", fmt.Sprintf("bytes=%d-", size)).problem(t, 416, "RANGE_NOT_SATISFIABLE")
	c.do(t, "GET", path, "If-Match", `"x"`).problem(t, 412, "PRECONDITION_FAILED")
	same(t, "bytes of a 304", len(c.do(t, "GET", path, "If-None-Match", etag).want(t, 304).body), 0)
	head := c.do(t, "HEAD", path).want(t, 200)
	same(t, "Content-Length of HEAD", head.header.Get("Content-Length"), strconv.Itoa(size))
	same(t, "Content-Type of HEAD", head.header.Get("Content-Type"), whole.header.Get("Content-Type"))
	same(t, "Content-Encoding for a client that accepts gzip", c.do(t, "GET", path, "Accept-Encoding", "gzip").header.Get("Content-Encoding"), "")
}

func TestRequestsThatCouldWidenAnExportByMistakeAreRefused(t *testing.T) {
	s := sharedStack(t)
	c := s.newTenant(t)
	for _, query := range []string{"format=xml", "format=JSON", "format=", "user_id=", "agent_id=", "session_id=", "priority=", "priority=high",
		"priority=URGENT", "categories=", "categories=a,,b", "categories=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21", "created_after=yesterday", "created_after=",
		"created_before=2025-13-01", "created_after=2025-02-01&created_before=2025-01-01", "created_after=2025-01-01&created_before=2025-01-01",
		"created_after=2025-01-01T00:00:00+02:00", "userid=x", "user_id=a&user_id=b", "limit=1", "user_id=%00", "user_id=%ff", "a=%"} {
		c.do(t, "POST", "/v1/exports?"+query).problem(t, 422, "INVALID_REQUEST")
	}
	request, err := http.NewRequestWithContext(t.Context(), "POST", c.url+"/v1/exports", strings.NewReader(`{"user_id":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Api-Key", c.key)
	request.Header.Set("Content-Type", "application/json")
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	same(t, "the status for a body with filters", response.StatusCode, 422)
	same(t, "exports that were made", c.list(t, "").Meta.Total, 0)

	for _, id := range []string{"0198c2a4-6d0e-7c55-9f0a-3c1d5b7e9a24", "nonsense", "%00", "'"} {
		c.do(t, "GET", "/v1/exports/"+id).problem(t, 404, "EXPORT_NOT_FOUND")
		c.do(t, "GET", "/v1/exports/"+id+"/download").problem(t, 404, "EXPORT_NOT_FOUND")
		c.do(t, "DELETE", "/v1/exports/"+id).problem(t, 404, "EXPORT_NOT_FOUND")
	}
	c.do(t, "GET", "/v1/nothing").problem(t, 404, "NOT_FOUND")
	c.do(t, "PUT", "/v1/exports").problem(t, 405, "METHOD_NOT_ALLOWED")
	for _, path := range []string{"/healthz", "/readyz", "/openapi.json", "/openapi.yaml", "/openapi-3.0.yaml", "/openapi-3.0.json"} {
		newClient(s.url, "").do(t, "GET", path).want(t, 200)
	}
}
