// Package remote uses an Exports API over the network: it creates exports, lists them, waits for them and
// saves their files. It repeats requests that fail for reasons that may pass.
package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
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
	// RetryFor is how long consecutive failures are tolerated.
	RetryFor time.Duration
	// FirstFor replaces RetryFor until the service has answered once, since its address may be wrong.
	FirstFor time.Duration
	// Idle is how long a download may go without a byte before it is cut and repeated.
	Idle   time.Duration
	Report *progress.Reporter
}

// Service is an Exports API with the key to use it.
type Service struct {
	options   Options
	http      *http.Client   // for the API; it follows no redirect
	files     *http.Client   // for downloads, which the API may redirect to the object store
	api       *client.Client // over http
	retry     resume.Retry
	reached   atomic.Bool // the service has answered a request
	continued bool        // an earlier process has reached the service
}

// answerTimeout limits a request other than a download, without the time that the server was asked to
// wait. The API answers within a few seconds even if what it depends on hangs.
const answerTimeout = 30 * time.Second

// New returns a Service. It sends nothing.
func New(o Options) (*Service, error) {
	svc := &Service{options: o}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableCompression = true // lengths and ranges must count the bytes of the file
	svc.http = &http.Client{
		Transport: &noting{next: transport, reached: &svc.reached},
		// The API redirects only downloads. Elsewhere a redirect means that the URL is wrong.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	svc.files = &http.Client{Transport: svc.http.Transport, CheckRedirect: withoutKey}
	svc.retry = resume.Retry{
		For: func() time.Duration {
			if svc.reached.Load() || svc.continued {
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

// sign adds the headers that every request carries.
func (svc *Service) sign(_ context.Context, request *http.Request) error {
	request.Header.Set("X-Api-Key", svc.options.Key)
	request.Header.Set("User-Agent", svc.options.UserAgent)
	return nil
}

// withoutKey follows a redirect to the object store, which must not see the key.
func withoutKey(request *http.Request, via []*http.Request) error {
	if len(via) > 1 { // only the API may redirect, not the store
		return http.ErrUseLastResponse
	}
	request.Header.Del("X-Api-Key")
	return nil
}

// noting sets reached when a response has come.
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

// Export is an Export object with the JSON that the server sent, which may have fields that are unknown
// here.
type Export struct {
	client.Export
	JSON json.RawMessage
}

func (e *Export) UnmarshalJSON(text []byte) error {
	e.JSON = append(e.JSON[:0], text...)
	return json.Unmarshal(text, &e.Export)
}

func (e Export) MarshalJSON() ([]byte, error) { return e.JSON, nil }

// once sends a request and decodes the response, unless into is nil.
func (svc *Service) once(ctx context.Context, timeout time.Duration, send func(context.Context) (*http.Response, error), into any) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	response, err := send(ctx)
	if err != nil {
		return resume.NoResponse(err)
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

// call repeats once while the failure may pass.
func (svc *Service) call(ctx context.Context, send func(context.Context) (*http.Response, error), into any) error {
	return svc.retry.Do(ctx, func(ctx context.Context) error { return svc.once(ctx, answerTimeout, send, into) })
}

// Create creates an export. The params need an Idempotency-Key, because the request may be repeated.
func (svc *Service) Create(ctx context.Context, params client.CreateExportParams) (e Export, err error) {
	return e, svc.call(ctx, func(ctx context.Context) (*http.Response, error) { return svc.api.CreateExport(ctx, &params) }, &e)
}

// Get returns an export as it is now.
func (svc *Service) Get(ctx context.Context, id uuid.UUID) (e Export, err error) {
	return e, svc.call(ctx, func(ctx context.Context) (*http.Response, error) { return svc.api.GetExport(ctx, id, nil) }, &e)
}

// Delete deletes an export.
func (svc *Service) Delete(ctx context.Context, id uuid.UUID) error {
	repeated := false
	return svc.retry.Do(ctx, func(ctx context.Context) error {
		err := svc.once(ctx, answerTimeout, func(ctx context.Context) (*http.Response, error) { return svc.api.DeleteExport(ctx, id) }, nil)
		var refusal *Refusal
		if repeated && errors.As(err, &refusal) && refusal.Status == http.StatusNotFound {
			err = nil // an earlier attempt succeeded, and its response was lost
		}
		repeated = true
		return err
	})
}

// pageSize is the number of exports in one response, the most that the API allows.
const pageSize = 100

// List returns the newest exports for which wanted returns true, at most limit of them. A limit of 0
// means all.
func (svc *Service) List(ctx context.Context, limit int, wanted func(Export) bool) ([]Export, error) {
	found := []Export{}
	seen := map[uuid.UUID]bool{} // an export that is created meanwhile moves others to the next page
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

// How long the server is asked to wait for an export: long enough to spare requests, short enough for
// the progress that people see.
const shortestWait, longestWait = time.Second, 10 * time.Second

// Await waits until an export is READY. The error is a *Failed or an *Expired if it cannot become so.
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
		// A server or proxy that ignores Prefer must not get one request after the other.
		if early := min(wait, shortestWait) - time.Since(asked); early > 0 {
			select {
			case <-ctx.Done():
				return e, context.Cause(ctx)
			case <-time.After(early):
			}
		}
	}
}
