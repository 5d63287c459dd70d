package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"
)

// client sends requests to the API with one API key.
type client struct {
	url, key string

	mu   sync.Mutex
	seen bytes.Buffer // every response except files, with its headers
}

func newClient(url, key string) *client { return &client{url: url, key: key} }

// at returns a client for the API process at url, with the same key.
func (c *client) at(url string) *client { return newClient(url, c.key) }

var transport = &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 100, IdleConnTimeout: 10 * time.Second}

// requestTimeout limits the time until the whole response has arrived. It is long, because the machine
// may be busy.
const requestTimeout = 2 * time.Minute

// answer is a response whose body has been read.
type answer struct {
	what   string
	status int
	header http.Header
	body   []byte
}

// try sends a request. headers alternates between names and values.
func (c *client) try(ctx context.Context, method, path string, headers ...string) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, c.url+path, nil)
	if err != nil {
		return nil, err
	}
	if c.key != "" {
		request.Header.Set("X-Api-Key", c.key)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Add(headers[i], headers[i+1])
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	a := &answer{what: method + " " + path, status: response.StatusCode, header: response.Header}
	if a.body, err = io.ReadAll(response.Body); err != nil {
		return nil, fmt.Errorf("%s: %w", a.what, err)
	}
	if response.Header.Get("Content-Disposition") == "" {
		c.mu.Lock()
		defer c.mu.Unlock()
		fmt.Fprintf(&c.seen, "%s\n%d %v\n%s\n", a.what, a.status, a.header, a.body)
	}
	return a, nil
}

// do sends a request and fails the test if there is no response.
func (c *client) do(t *testing.T, method, path string, headers ...string) *answer {
	t.Helper()
	a, err := c.try(t.Context(), method, path, headers...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// want fails the test unless the response has the status.
func (a *answer) want(t *testing.T, status int) *answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("%s: %d, want %d: %s", a.what, a.status, status, short(string(a.body)))
	}
	return a
}

// problem fails the test unless the response contains problem details with the status and the code.
func (a *answer) problem(t *testing.T, status int, code string) *answer {
	t.Helper()
	a.want(t, status)
	var p struct {
		Type, Title, Detail, Code string
		Status                    int
	}
	if err := json.Unmarshal(a.body, &p); err != nil {
		t.Fatalf("%s: %v: %s", a.what, err, short(string(a.body)))
	}
	if p.Code != code || p.Status != status || p.Title == "" || p.Detail == "" || a.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s: want problem details with the code %s, got %s: %s", a.what, code, a.header.Get("Content-Type"), a.body)
	}
	return a
}

// object is the Export object of the API.
type object struct {
	ID            string     `json:"id"`
	Format        string     `json:"format"`
	Status        string     `json:"status"`
	UserID        *string    `json:"user_id"`
	AgentID       *string    `json:"agent_id"`
	SessionID     *string    `json:"session_id"`
	Priority      *string    `json:"priority"`
	Categories    []string   `json:"categories"`
	CreatedAfter  *time.Time `json:"created_after"`
	CreatedBefore *time.Time `json:"created_before"`
	CreatedAt     time.Time  `json:"created_at"`
	UpdatedAt     time.Time  `json:"updated_at"`
	StartedAt     *time.Time `json:"started_at"`
	CompletedAt   *time.Time `json:"completed_at"`
	ExpiresAt     *time.Time `json:"expires_at"`
	MemoryCount   int        `json:"memory_count"`
	SizeBytes     *int64     `json:"size_bytes"`
	SHA256        *string    `json:"sha256"`
	Progress      int        `json:"progress"`
	Error         *struct {
		Code      string `json:"code"`
		Message   string `json:"message"`
		Retryable bool   `json:"retryable"`
	} `json:"error"`
}

// export decodes the Export object in the response. It fails the test if fields are missing or
// unknown.
func (a *answer) export(t *testing.T) object {
	t.Helper()
	var e object
	decoder := json.NewDecoder(bytes.NewReader(a.body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&e); err != nil {
		t.Fatalf("%s: %v: %s", a.what, err, a.body)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(a.body, &fields); err != nil || len(fields) != 20 {
		t.Errorf("%s: %v, %d fields instead of 20: %s", a.what, err, len(fields), a.body)
	}
	return e
}

// create creates an export and returns the Export object in the response.
func (c *client) create(t *testing.T, query string, headers ...string) object {
	t.Helper()
	a := c.do(t, "POST", "/v1/exports?"+query, headers...).want(t, 202)
	e := a.export(t)
	same(t, "Location", a.header.Get("Location"), "/v1/exports/"+e.ID)
	return e
}

func (c *client) get(t *testing.T, id string, headers ...string) object {
	t.Helper()
	return c.do(t, "GET", "/v1/exports/"+id, headers...).want(t, 200).export(t)
}

// ready waits until the export is READY. It fails the test if the progress decreases.
func (c *client) ready(t *testing.T, id string, limit time.Duration) object {
	t.Helper()
	progress := 0
	for deadline := time.Now().Add(limit); ; {
		e := c.get(t, id, "Prefer", "wait=5")
		if e.Progress < progress || (e.Progress == 100) != (e.Status == "READY") {
			t.Errorf("progress is %d after %d, and the export %s", e.Progress, progress, e.Status)
		}
		progress = e.Progress
		switch {
		case e.Status == "READY":
			return e
		case e.Status != "PENDING" && e.Status != "PROCESSING":
			t.Fatalf("the export is %s: %+v", e.Status, e.Error)
		case time.Now().After(deadline):
			t.Fatalf("the export is still %s (%d %%) after %s", e.Status, e.Progress, limit)
		}
	}
}

// open begins a download. The caller reads the body, which is closed at the end of the test.
func (c *client) open(t *testing.T, id string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), "GET", c.url+"/v1/exports/"+id+"/download", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Api-Key", c.key)
	// Use a separate connection, so that other requests do not wait for this download.
	own := &http.Transport{DisableCompression: true, DisableKeepAlives: true}
	response, err := own.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	if response.StatusCode != 200 {
		t.Fatalf("the download: %s", response.Status)
	}
	return response
}

// contentDigest is like digest, but leaves out the export's ID, which a Parquet file contains. So the
// results for two exports of the same memories are equal.
func (c *client) contentDigest(t *testing.T, e object) string {
	t.Helper()
	if e.Format != "parquet" {
		return c.digest(t, e)
	}
	file := c.do(t, "GET", "/v1/exports/"+e.ID+"/download").want(t, 200).body
	whole := sha256.Sum256(file)
	same(t, "sha256", *e.SHA256, hex.EncodeToString(whole[:]))
	sum := sha256.Sum256(bytes.ReplaceAll(file, []byte(e.ID), nil))
	return hex.EncodeToString(sum[:])
}

// digest downloads the file of an export, verifies its size and digest, and returns the digest.
func (c *client) digest(t *testing.T, e object) string {
	t.Helper()
	response := c.open(t, e.ID)
	defer response.Body.Close()
	sum := sha256.New()
	size, err := io.Copy(sum, response.Body)
	if err != nil {
		t.Fatal("the download broke:", err)
	}
	same(t, "size_bytes", *e.SizeBytes, size)
	digest := hex.EncodeToString(sum.Sum(nil))
	same(t, "sha256", *e.SHA256, digest)
	return digest
}
