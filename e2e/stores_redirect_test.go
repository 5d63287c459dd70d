//go:build stores

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"memexport/internal/workshop/storetest"
)

// downloadsFromTheStore tests a stack with DOWNLOAD_MODE=redirect, in which clients download from
// the store.
func downloadsFromTheStore(t *testing.T, _ *inStore) {
	s := newInStore(t, "s3", "DOWNLOAD_MODE=redirect")
	for _, c := range []struct {
		name string
		run  func(*testing.T, *inStore)
	}{
		{"the_whole_file", wholeFileFromTheStore},
		{"the_client_command_resumes", clientCommandResumesAtTheStore},
		{"deleted_while_composed", deletedWhileComposed},
		{"worker_checks_composing", workerChecksComposing},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, s) })
	}
}

// seen collects the requests that the store receives.
type seen struct {
	mu       sync.Mutex
	requests []*http.Request
}

func (s *seen) add(r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r.Clone(r.Context()))
}

func (s *seen) all() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// fetches reports whether a client sent this request to the store because the API redirected it
// there.
func fetches(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/file") && r.URL.Query().Has("X-Amz-Signature")
}

func wholeFileFromTheStore(t *testing.T, s *inStore) {
	types := map[string]string{"json": "application/json", "csv": "text/csv", "markdown": "text/markdown",
		"ndjson": "application/x-ndjson", "parquet": "application/vnd.apache.parquet"}
	same(t, "formats with a type", len(types), len(formats))
	for format, mediaType := range types {
		e := s.ready(t, s.create(t, "format="+format).ID, 2*time.Minute)
		path := "/v1/exports/" + e.ID + "/download"
		address := s.do(t, "GET", path).want(t, 302).header.Get("Location")
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if seconds, err := strconv.Atoi(u.Query().Get("X-Amz-Expires")); err != nil || seconds < 800 || seconds > 900 {
			t.Errorf("the URL is valid for %q s", u.Query().Get("X-Amz-Expires"))
		}
		get := func(headers ...string) (*http.Response, []byte) {
			request, err := http.NewRequestWithContext(t.Context(), "GET", address, nil)
			if err != nil {
				t.Fatal(err)
			}
			for i := 0; i < len(headers); i += 2 {
				request.Header.Set(headers[i], headers[i+1])
			}
			response, err := transport.RoundTrip(request)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			return response, body
		}
		whole, body := get()
		same(t, "the digest of the file", hexDigest(body), *e.SHA256)
		if !strings.HasPrefix(whole.Header.Get("Content-Type"), mediaType) || !strings.Contains(whole.Header.Get("Content-Disposition"), e.ID) {
			t.Errorf("the file comes as %q, %q", whole.Header.Get("Content-Type"), whole.Header.Get("Content-Disposition"))
		}
		middle := len(body) / 2
		hundred := fmt.Sprintf("bytes=%d-%d", middle, middle+99)
		part, some := get("Range", hundred, "If-Range", whole.Header.Get("ETag"))
		same(t, "the status of a range", part.StatusCode, 206)
		same(t, "the range", string(some), string(body[middle:middle+100]))
		// The API does not redirect a HEAD request, or a request with the API's own ETag: the
		// signed URL is only valid for GET, and the store has a different ETag for the file.
		same(t, "HEAD", s.do(t, "HEAD", path).want(t, 200).header.Get("Content-Length"), strconv.FormatInt(*e.SizeBytes, 10))
		own := `"` + *e.SHA256 + `"`
		same(t, "the range from the API", string(s.do(t, "GET", path, "Range", hundred, "If-Range", own).want(t, 206).body), string(some))
		s.do(t, "GET", path, "If-None-Match", own).want(t, 304)

		s.expire(t, e)
		s.do(t, "GET", path).problem(t, 410, "EXPORT_EXPIRED")
		if gone, _ := get(); gone.StatusCode != 404 {
			t.Errorf("the URL of a purged file is answered with %s", gone.Status)
		}
	}
}

// The client command follows the redirect without sending the API key to the store. After a break,
// it requests the rest of the file from the store.
func clientCommandResumesAtTheStore(t *testing.T, s *inStore) {
	var requests seen
	s.faults.Set(func(r *http.Request) (f storetest.Fault) {
		if fetches(r) {
			if requests.add(r); len(requests.all()) < 3 {
				f.CutAfter = 5_000_000
			}
		}
		return f
	})
	defer s.faults.Set(func(*http.Request) storetest.Fault { return storetest.Fault{} })
	p := newPerson(t, s.url(), s.tenant.key)
	p.run(t, 0, "export", "--format", "json", "-o", "memories.json")
	e := s.list(t, "page_size=1").Data[0]
	same(t, "the digest of the file", hexDigest(p.read(t, "memories.json")), *e.SHA256)
	all := requests.all()
	same(t, "requests to the store", len(all), 3)
	for i, r := range all {
		if i > 0 && r.Header.Get("Range") != "bytes="+strconv.Itoa(i*5_000_000)+"-" {
			t.Errorf("request %d asks for %q", i, r.Header.Get("Range"))
		}
		if r.Header.Get("X-Api-Key") != "" {
			t.Error("the API key was sent to the store")
		}
	}
	s.refuse(t, fetches, storetest.Fault{Status: http.StatusForbidden})
	_, stderr := p.run(t, 7, "download", e.ID, "-o", "again.json", "--retry-for", "0s")
	says(t, "standard error", stderr, "the store at "+s.faults.Address)
}

func deletedWhileComposed(t *testing.T, s *inStore) {
	release, begun := make(chan struct{}), make(chan struct{}, 100)
	s.faults.Set(func(r *http.Request) (f storetest.Fault) {
		if r.Header.Get("X-Amz-Copy-Source") != "" {
			f.Until = release
			begun <- struct{}{}
		}
		return f
	})
	defer s.faults.Set(func(*http.Request) storetest.Fault { return storetest.Fault{} })
	e := s.create(t, "format=json")
	receive(t, begun, "the worker composes the file")
	s.do(t, "DELETE", "/v1/exports/"+e.ID).want(t, 204)
	time.Sleep(time.Second) // wait, so that the worker usually notices the cancellation before the copy succeeds
	close(release)
	s.wantPurged(t, e.ID)
}

func workerChecksComposing(t *testing.T, s *inStore) {
	copies := func(r *http.Request) bool { return r.Header.Get("X-Amz-Copy-Source") != "" }
	s.refuse(t, copies, storetest.Fault{Status: http.StatusForbidden})
	env := append(s.faults.Env(), "BUCKET_URL="+s.faults.URL(), "TEMPORAL_ADDRESS="+s.temporal.Address, "DATABASE_URL="+s.database)
	refuses(t, append(env, "DOWNLOAD_MODE=redirect"), []string{"worker"}, "DOWNLOAD_MODE is redirect", "cannot be joined", "docs/stores.md")
	same(t, "objects that the check left", len(s.objectsOf(t, "memexport-probe")), 0)
}
