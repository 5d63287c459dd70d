package benchstack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"memexport/internal/service/apikey"
)

// Client is an HTTP client of the API. It uses the API key of one workspace.
type Client struct {
	Key     string
	filter  string // query parameters for Create, each with & before it
	baseURL string
	http    *http.Client
}

// Client returns the client for a data set's workspace.
func (s *Stack) Client(ctx context.Context, d Dataset) (Client, error) {
	filter := ""
	if d.user != "" {
		filter = "&user_id=" + url.QueryEscape(d.user)
	}
	if c, ok := s.clients[d.Workspace()]; ok {
		c.filter = filter
		return c, nil
	}
	secret, _, err := apikey.NewStore(s.DB).Create(ctx, d.Workspace(), "benchmark", apikey.TestPrefix, apikey.Permissions)
	if err != nil {
		return Client{}, err
	}
	c := Client{Key: secret, filter: filter, baseURL: s.baseURL, http: s.http}
	s.clients[d.Workspace()] = c
	return c, nil
}

// Keys returns n more keys of a data set's workspace.
func (s *Stack) Keys(ctx context.Context, d Dataset, n int) ([]string, error) {
	keys := make([]string, n)
	for i := range keys {
		var err error
		if keys[i], _, err = apikey.NewStore(s.DB).Create(ctx, d.Workspace(), "benchmark", apikey.TestPrefix, apikey.Permissions); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// Export has the fields of the Export object that a benchmark needs.
type Export struct {
	ID          string     `json:"id"`
	Status      string     `json:"status"`
	Progress    int        `json:"progress"`
	MemoryCount int        `json:"memory_count"`
	SizeBytes   int64      `json:"size_bytes"`
	SHA256      string     `json:"sha256"`
	CreatedAt   time.Time  `json:"created_at"`
	CompletedAt *time.Time `json:"completed_at"`
	Error       *struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// InServer returns the time from created_at to completed_at. Unlike the time that a client
// measures, it does not depend on how often the server checks the status for a waiting request.
func (e *Export) InServer() time.Duration {
	if e.CompletedAt == nil {
		return 0
	}
	return e.CompletedAt.Sub(e.CreatedAt)
}

// CheckCount returns an error unless the export has exactly this number of memories.
func (e *Export) CheckCount(memories int) error {
	if e.MemoryCount != memories {
		return fmt.Errorf("export %s has %d memories instead of %d", e.ID, e.MemoryCount, memories)
	}
	return nil
}

// CheckSHA256 returns an error unless the file of the export has this digest.
func (e *Export) CheckSHA256(digest string) error {
	if e.SHA256 != digest {
		return fmt.Errorf("export %s has the SHA-256 %s instead of %s", e.ID, e.SHA256, digest)
	}
	return nil
}

// ErrTooManyRequests means that the API refused a request because a limit was reached (429).
var ErrTooManyRequests = errors.New("a limit was reached")

// Create creates an export and returns it as the POST response shows it.
func (c Client) Create(ctx context.Context, format string) (Export, error) {
	var e Export
	return e, c.call(ctx, http.MethodPost, "/v1/exports?format="+format+c.filter, "", &e)
}

// Get returns the current state of an export.
func (c Client) Get(ctx context.Context, id string) (Export, error) {
	var e Export
	return e, c.call(ctx, http.MethodGet, "/v1/exports/"+id, "", &e)
}

// Wait waits until the export is READY and returns it.
func (c Client) Wait(ctx context.Context, id string) (Export, error) {
	for {
		var e Export
		if err := c.call(ctx, http.MethodGet, "/v1/exports/"+id, "wait=60", &e); err != nil {
			return e, err
		}
		if e.Error != nil {
			return e, fmt.Errorf("export %s is %s: %s: %s", id, e.Status, e.Error.Code, e.Error.Message)
		}
		if e.Status == "READY" {
			return e, nil
		}
	}
}

// WaitProgress waits until the progress of an export is at least this many percent, and returns the export.
func (c Client) WaitProgress(ctx context.Context, id string, percent int) (Export, error) {
	for {
		e, err := c.Get(ctx, id)
		if err != nil || e.Progress >= percent {
			return e, err
		}
		if e.Error != nil {
			return e, fmt.Errorf("export %s is %s: %s: %s", id, e.Status, e.Error.Code, e.Error.Message)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Export creates an export, waits until it is READY, and returns it. The duration runs from before
// the POST until the response that says READY.
func (c Client) Export(ctx context.Context, format string) (Export, time.Duration, error) {
	began := time.Now()
	e, err := c.Create(ctx, format)
	if err == nil {
		e, err = c.Wait(ctx, e.ID)
	}
	return e, time.Since(began), err
}

// Delete deletes an export. The export's objects are deleted a little later: see Stack.Discard.
func (c Client) Delete(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, "/v1/exports/"+id, "", nil)
}

// Read requests a path of the API and discards the response.
func (c Client) Read(ctx context.Context, path string) error {
	return c.call(ctx, http.MethodGet, path, "", nil)
}

// DownloadURL returns the URL of the file of an export.
func (c Client) DownloadURL(e Export) string { return c.baseURL + "/v1/exports/" + e.ID + "/download" }

// Download writes the file of an export to w and returns an error if its length is not SizeBytes.
func (c Client) Download(ctx context.Context, e Export, w io.Writer) error {
	size, err := c.download(ctx, e, "", w)
	if err == nil && size != e.SizeBytes {
		err = fmt.Errorf("the file of export %s has %d bytes instead of %d", e.ID, size, e.SizeBytes)
	}
	return err
}

// DownloadGzip downloads the file of an export with Accept-Encoding: gzip. It discards the response
// without decompressing it and returns how many bytes the server sent.
func (c Client) DownloadGzip(ctx context.Context, e Export) (size int64, err error) {
	return c.download(ctx, e, "gzip", io.Discard)
}

func (c Client) download(ctx context.Context, e Export, encoding string, w io.Writer) (size int64, err error) {
	header := http.Header{}
	if encoding != "" {
		header.Set("Accept-Encoding", encoding)
	}
	response, err := c.request(ctx, http.MethodGet, "/v1/exports/"+e.ID+"/download", header)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	// The struct hides w's ReadFrom. With ReadFrom, CopyBuffer would not use the buffer.
	return io.CopyBuffer(struct{ io.Writer }{w}, response.Body, make([]byte, 256<<10))
}

// call makes a request and decodes the response into result, unless result is nil.
func (c Client) call(ctx context.Context, method, path, prefer string, result any) error {
	header := http.Header{}
	if prefer != "" {
		header.Set("Prefer", prefer)
	}
	response, err := c.request(ctx, method, path, header)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if result != nil {
		err = json.NewDecoder(response.Body).Decode(result)
	}
	_, drainErr := io.Copy(io.Discard, response.Body) // so that the connection can be used again
	return errors.Join(err, drainErr)
}

// request makes a request. It returns an error if the status of the response is not 2xx.
func (c Client) request(ctx context.Context, method, path string, header http.Header) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.baseURL+path, nil)
	if err != nil {
		return nil, err
	}
	request.Header = header
	request.Header.Set("X-Api-Key", c.Key)
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode/100 != 2 {
		defer response.Body.Close()
		body, _ := io.ReadAll(io.LimitReader(response.Body, 4096))
		err := fmt.Errorf("%s %s: %s: %s", method, path, response.Status, strings.TrimSpace(string(body)))
		if response.StatusCode == http.StatusTooManyRequests {
			err = fmt.Errorf("%w: %w", ErrTooManyRequests, err)
		}
		return nil, err
	}
	return response, nil
}
