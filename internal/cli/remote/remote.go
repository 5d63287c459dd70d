// Package remote is a client of an Exports API. It creates exports, lists them, waits for them and
// saves their files. It retries requests that failed because of a temporary error.
package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"memexport/client"
	"memexport/internal/cli/progress"
	"memexport/internal/cli/resume"
)

// Options configure a Service. All fields are required, except that durations may be zero.
type Options struct {
	URL       string // http or https, without /v1
	Key       string // the API key
	UserAgent string
	// RetryFor is how long failures in a row are retried.
	RetryFor time.Duration
	// FirstFor replaces RetryFor until the service has answered once. It is shorter, because the
	// URL may be wrong.
	FirstFor time.Duration
	// Idle is how long a download may receive no bytes before it is cancelled and retried. 0 means no
	// limit.
	Idle   time.Duration
	Report *progress.Reporter
}

// Service is a client of one Exports API. It uses one API key.
type Service struct {
	options Options
	http    *http.Client   // for the API; it follows no redirect
	files   *http.Client   // for downloads, which the API may redirect to the object store
	api     *client.Client // sends its requests with the field http
	retry   resume.Retry
	reached atomic.Bool // the service has answered a request of this process, or of the earlier process whose job this process continues
}

// answerTimeout is how long a request other than a download may take. If the header Prefer of a request
// asks the server to wait, the wait is added. The API answers within a few seconds even if its database or
// Temporal does not answer.
const answerTimeout = 30 * time.Second

// New returns a Service. It does not send a request.
func New(o Options) (*Service, error) {
	svc := &Service{options: o}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableCompression = true // with compression, lengths and ranges would not count the bytes of the file
	// All requests share one HTTP/2 connection, which stays open when a request is cancelled. If the network
	// drops the connection silently, only a ping that gets no answer closes it. The sum of the two times is
	// shorter than answerTimeout, so the next attempt uses a new connection.
	transport.HTTP2 = &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second}
	svc.http = &http.Client{
		Transport: &noting{next: transport, reached: &svc.reached},
		// The API redirects only downloads, which the field files sends. So a redirect of any other request
		// means that the URL is wrong.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	svc.files = &http.Client{Transport: svc.http.Transport, CheckRedirect: withoutKey}
	svc.retry = resume.Retry{
		For: func() time.Duration {
			if svc.reached.Load() {
				return o.RetryFor
			}
			return o.FirstFor
		},
		Notify: func(err error, wait time.Duration) {
			o.Report.Say("%v; trying again in %s", err, max(wait.Round(time.Second), time.Second))
		},
	}
	var err error
	svc.api, err = client.NewClient(o.URL, client.WithHTTPClient(svc.http), client.WithRequestEditorFn(svc.sign))
	return svc, err
}

// sign adds the headers that every request needs.
func (svc *Service) sign(_ context.Context, request *http.Request) error {
	request.Header.Set("X-Api-Key", svc.options.Key)
	request.Header.Set("User-Agent", svc.options.UserAgent)
	return nil
}

// withoutKey is the redirect policy for downloads: it removes the API key from the request that
// goes to the object store.
func withoutKey(request *http.Request, via []*http.Request) error {
	if len(via) > 1 { // follow only a redirect by the API, not one by the store
		return http.ErrUseLastResponse
	}
	request.Header.Del("X-Api-Key")
	return nil
}

// noting is an http.RoundTripper that sets reached when it has received a response.
type noting struct {
	next    http.RoundTripper
	reached *atomic.Bool
}

func (n *noting) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := n.next.RoundTrip(request)
	if err == nil {
		n.reached.Store(true)
	}
	return response, err
}

// Export is an Export object. JSON is the text that the server sent, which may contain fields that
// this version of the program does not know.
type Export struct {
	client.Export
	JSON json.RawMessage
}

func (e *Export) UnmarshalJSON(text []byte) error {
	e.JSON = append(e.JSON[:0], text...)
	return json.Unmarshal(text, &e.Export)
}

func (e Export) MarshalJSON() ([]byte, error) { return e.JSON, nil }

// once sends a request without retrying it. Unless into is nil, it decodes the response.
func (svc *Service) once(ctx context.Context, timeout time.Duration, send func(context.Context) (*http.Response, error), into any) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	response, err := send(ctx)
	if err != nil {
		return resume.NoResponse(err, svc.reached.Load())
	}
	defer response.Body.Close()
	if response.StatusCode >= 300 {
		return svc.refusal(response)
	}
	if into == nil {
		return nil
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return resume.Transient(fmt.Errorf("read the response: %w", err), nil)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return svc.notTheAPI(response)
	}
	return nil
}

// call sends a request like once, and retries it while the errors are temporary.
func (svc *Service) call(ctx context.Context, send func(context.Context) (*http.Response, error), into any) error {
	return svc.retry.Do(ctx, func(ctx context.Context) error { return svc.once(ctx, answerTimeout, send, into) })
}

// Create creates an export. The params must contain an Idempotency-Key, because Create may retry
// the request.
func (svc *Service) Create(ctx context.Context, params client.CreateExportParams) (e Export, err error) {
	return e, svc.call(ctx, func(ctx context.Context) (*http.Response, error) { return svc.api.CreateExport(ctx, &params) }, &e)
}

// Get returns the current state of an export.
func (svc *Service) Get(ctx context.Context, id uuid.UUID) (e Export, err error) {
	return e, svc.call(ctx, func(ctx context.Context) (*http.Response, error) { return svc.api.GetExport(ctx, id, nil) }, &e)
}

// Delete deletes an export. A retry that gets the status 404 counts as success, if an earlier attempt may
// have deleted the export.
func (svc *Service) Delete(ctx context.Context, id uuid.UUID) error {
	mayBeDeleted := false
	return svc.retry.Do(ctx, func(ctx context.Context) error {
		var connected atomic.Bool
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }})
		err := svc.once(ctx, answerTimeout, func(ctx context.Context) (*http.Response, error) { return svc.api.DeleteExport(ctx, id) }, nil)
		var refusal *Refusal
		refused := errors.As(err, &refusal)
		if refused && refusal.Status == http.StatusNotFound && mayBeDeleted {
			return nil // an earlier attempt deleted the export, but its response was lost
		}
		if connected.Load() && (!refused || refusal.Status >= 500) { // a 429 means that the server did nothing
			mayBeDeleted = true
		}
		return err
	})
}

// pageSize is how many exports List requests at a time, which is the API's maximum.
const pageSize = 100

// List returns the newest exports for which wanted returns true. It returns at most limit exports,
// or all of them if limit is 0.
func (svc *Service) List(ctx context.Context, limit int, wanted func(Export) bool) ([]Export, error) {
	found := []Export{}
	seen := map[uuid.UUID]bool{} // an export that is created meanwhile moves others to the next page, where they appear again
	for number := int32(1); ; number++ {
		var page struct {
			Data []Export        `json:"data"`
			Meta client.ListMeta `json:"meta"`
		}
		params := client.ListExportsParams{Page: &number, PageSize: new(int32(pageSize))}
		if err := svc.call(ctx, func(ctx context.Context) (*http.Response, error) { return svc.api.ListExports(ctx, &params) }, &page); err != nil {
			return nil, err
		}
		for _, e := range page.Data {
			if seen[e.ID] || !wanted(e) {
				continue
			}
			seen[e.ID] = true
			if found = append(found, e); len(found) == limit {
				return found, nil
			}
		}
		if int64(number) >= page.Meta.LastPage {
			return found, nil
		}
	}
}

// shortestWait and longestWait limit how long a request asks the server to wait for an export. A
// long wait saves requests. A short wait updates the progress more often.
const shortestWait, longestWait = time.Second, 10 * time.Second

// Await waits until an export is READY. If the export has failed or expired, the error is a *Failed
// or an *Expired.
func (svc *Service) Await(ctx context.Context, id uuid.UUID) (Export, error) {
	began := time.Now()
	var task *progress.Task
	defer func() {
		if task != nil {
			task.End()
		}
	}()
	for {
		wait := time.Duration(0) // the first request does not wait
		if task != nil {
			wait = min(max(time.Since(began)/20, shortestWait), longestWait).Round(time.Second)
		}
		var e Export
		asked := time.Now()
		err := svc.retry.Do(ctx, func(ctx context.Context) error {
			prefer := "wait=" + strconv.Itoa(int(wait.Seconds()))
			return svc.once(ctx, wait+answerTimeout, func(ctx context.Context) (*http.Response, error) {
				return svc.api.GetExport(ctx, id, &client.GetExportParams{Prefer: &prefer})
			}, &e)
		})
		if err != nil {
			return e, err
		}
		if task == nil && e.Status != client.READY {
			task = svc.options.Report.Begin("exporting", progress.Memories)
		}
		if task != nil {
			task.Set(e.MemoryCount, float64(e.Progress)/100)
		}
		switch e.Status {
		case client.READY:
			return e, nil
		case client.FAILED:
			return e, failure(e)
		case client.EXPIRED:
			return e, &Expired{ID: e.ID}
		}
		// If a server or proxy ignores Prefer, it answers at once. Pause, so that the requests do
		// not follow each other without a break.
		if early := min(wait, shortestWait) - time.Since(asked); early > 0 {
			select {
			case <-ctx.Done():
				return e, context.Cause(ctx)
			case <-time.After(early):
			}
		}
	}
}
