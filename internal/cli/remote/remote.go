// Package remote is what people do with a service that is somewhere else: make exports, look at them,
// wait for them and save their files, whatever the network does meanwhile.
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
	"memexport/internal/cli/transfer"
)

// Options say which service, and how to deal with it.
type Options struct {
	URL       string // http or https, without /v1
	Key       string
	UserAgent string
	// RetryFor is how long failures in a row are put up with; FirstFor is it until the service has
	// answered at all, since its address may be wrong.
	RetryFor, FirstFor time.Duration
	// Idle is how long a download may go on without a byte.
	Idle   time.Duration
	Report *progress.Reporter
}

// Remote is a service with a key.
type Remote struct {
	options Options
	http    *http.Client
	files   *http.Client // the same for files, which may be elsewhere
	api     *client.Client
	retry   transfer.Retry
	reached atomic.Bool // the service has answered something
	resumed bool        // an earlier process has reached it
}

// answerTimeout bounds a request that is no download, less what the server was asked to wait.
const answerTimeout = 30 * time.Second

// New makes a Remote; nothing is sent yet.
func New(o Options) (*Remote, error) {
	r := &Remote{options: o}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableCompression = true // lengths and ranges are those of the file
	r.http = &http.Client{
		Transport: noting{transport, &r.reached},
		// The API redirects nobody: something else answers.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	r.files = &http.Client{Transport: r.http.Transport, CheckRedirect: withoutKey}
	r.retry = transfer.Retry{
		For: func() time.Duration {
			if r.reached.Load() || r.resumed {
				return o.RetryFor
			}
			return o.FirstFor
		},
		Notify: func(err error, wait time.Duration) {
			o.Report.Say("%v; trying again in %s", err, max(wait.Round(time.Second), time.Second))
		},
	}
	var err error
	r.api, err = client.NewClient(o.URL, client.WithHTTPClient(r.http), client.WithRequestEditorFn(r.sign))
	return r, err
}

// sign adds what every request carries.
func (r *Remote) sign(_ context.Context, request *http.Request) error {
	request.Header.Set("X-Api-Key", r.options.Key)
	request.Header.Set("User-Agent", r.options.UserAgent)
	return nil
}

// withoutKey lets a download go on to the object store, where the key must not travel.
func withoutKey(request *http.Request, via []*http.Request) error {
	if len(via) > 1 { // only the API may send us on
		return http.ErrUseLastResponse
	}
	request.Header.Del("X-Api-Key")
	return nil
}

// noting notes that there was an answer.
type noting struct {
	http.RoundTripper
	reached *atomic.Bool
}

func (n noting) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := n.RoundTripper.RoundTrip(request)
	if err == nil {
		n.reached.Store(true)
	}
	return response, err
}

// Export is an Export object, with the JSON that it came as.
type Export struct {
	client.Export
	JSON json.RawMessage
}

func (e *Export) UnmarshalJSON(text []byte) error {
	e.JSON = append(e.JSON[:0], text...)
	return json.Unmarshal(text, &e.Export)
}

func (e Export) MarshalJSON() ([]byte, error) { return e.JSON, nil }

// once sends a request and decodes its answer, unless into is nil.
func (r *Remote) once(ctx context.Context, timeout time.Duration, send func(context.Context) (*http.Response, error), into any) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	response, err := send(ctx)
	if err != nil {
		return transfer.NoResponse(err)
	}
	defer response.Body.Close()
	if response.StatusCode >= 300 {
		return r.refusal(response)
	}
	if into == nil {
		return nil
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return transfer.Transient(fmt.Errorf("read the answer: %w", err), nil)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return r.notTheAPI(response)
	}
	return nil
}

// call is once, again and again while it makes sense.
func (r *Remote) call(ctx context.Context, send func(context.Context) (*http.Response, error), into any) error {
	return r.retry.Do(ctx, func(ctx context.Context) (bool, error) { return false, r.once(ctx, answerTimeout, send, into) })
}

// Create makes an export. Its parameters have an Idempotency-Key, so that repeating it is safe.
func (r *Remote) Create(ctx context.Context, params client.CreateExportParams) (e Export, err error) {
	return e, r.call(ctx, func(ctx context.Context) (*http.Response, error) { return r.api.CreateExport(ctx, &params) }, &e)
}

// Get returns an export as it is now.
func (r *Remote) Get(ctx context.Context, id uuid.UUID) (e Export, err error) {
	return e, r.call(ctx, func(ctx context.Context) (*http.Response, error) { return r.api.GetExport(ctx, id, nil) }, &e)
}

// Delete deletes an export.
func (r *Remote) Delete(ctx context.Context, id uuid.UUID) error {
	repeated := false
	return r.retry.Do(ctx, func(ctx context.Context) (bool, error) {
		err := r.once(ctx, answerTimeout, func(ctx context.Context) (*http.Response, error) { return r.api.DeleteExport(ctx, id) }, nil)
		var refusal *Refusal
		if repeated && errors.As(err, &refusal) && refusal.Status == http.StatusNotFound {
			err = nil // the answer to an earlier attempt was lost
		}
		repeated = true
		return false, err
	})
}

// pageSize is how many exports are asked for at once.
const pageSize = 100

// List returns the newest exports that are wanted, at most limit; 0 is all of them.
func (r *Remote) List(ctx context.Context, limit int, wanted func(Export) bool) ([]Export, error) {
	found := []Export{}
	seen := map[uuid.UUID]bool{} // a new export moves the others on to later pages
	for number := int32(1); ; number++ {
		var page struct {
			Data []Export        `json:"data"`
			Meta client.ListMeta `json:"meta"`
		}
		params := client.ListExportsParams{Page: &number, PageSize: new(int32(pageSize))}
		if err := r.call(ctx, func(ctx context.Context) (*http.Response, error) { return r.api.ListExports(ctx, &params) }, &page); err != nil {
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

// The longest and the shortest time that the server is asked to wait for an export.
const shortestWait, longestWait = time.Second, 10 * time.Second

// Await waits until an export is READY. One that is FAILED or EXPIRED is an error.
func (r *Remote) Await(ctx context.Context, id uuid.UUID) (Export, error) {
	began := time.Now()
	var task *progress.Task
	defer func() {
		if task != nil {
			task.End()
		}
	}()
	for {
		wait := time.Duration(0) // the first look is at once
		if task != nil {
			wait = min(max(time.Since(began)/20, shortestWait), longestWait).Round(time.Second)
		}
		var e Export
		asked := time.Now()
		err := r.retry.Do(ctx, func(ctx context.Context) (bool, error) {
			prefer := "wait=" + strconv.Itoa(int(wait.Seconds()))
			return false, r.once(ctx, wait+answerTimeout, func(ctx context.Context) (*http.Response, error) {
				return r.api.GetExport(ctx, id, &client.GetExportParams{Prefer: &prefer})
			}, &e)
		})
		if err != nil {
			return e, err
		}
		if task == nil && e.Status != client.READY {
			task = r.options.Report.Begin("exporting", progress.Memories)
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
			return e, &Expired{e.ID}
		}
		// A server, or something before it, that does not wait must not be asked without end.
		if early := min(wait, shortestWait) - time.Since(asked); early > 0 {
			select {
			case <-ctx.Done():
				return e, context.Cause(ctx)
			case <-time.After(early):
			}
		}
	}
}
