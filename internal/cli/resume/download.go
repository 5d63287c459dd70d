// Package resume downloads a file over HTTP. If a download breaks, it continues in the same process
// or in a later one. At the end it verifies the length and the SHA-256 of the file.
package resume

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// File describes the expected file.
type File struct {
	Size   int64  // in bytes
	SHA256 string // in hexadecimal
}

// Download configures the download of one file.
type Download struct {
	// Client sends the requests. It must not decompress responses, and its Timeout must be 0.
	Client *http.Client
	// Request returns a new GET request for the whole file.
	Request func(context.Context) (*http.Request, error)
	// Refusal returns the error for a response that does not contain the file.
	Refusal func(*http.Response) error
	// Expect asks the service for the size and digest of the file. It is called before the first
	// request, and again if the file has changed.
	Expect func(context.Context) (File, error)
	// Idle is how long a request may receive no bytes before it is cancelled and retried. 0 means no
	// limit.
	Idle  time.Duration
	Retry Retry
	// Progress is called with the number of bytes downloaded so far and the size of the file.
	Progress func(done, total int64)
}

// Mismatch is the error for a download whose length or digest differs from the expected file.
type Mismatch struct{ Err error }

func (m *Mismatch) Error() string { return m.Err.Error() }
func (m *Mismatch) Unwrap() error { return m.Err }

// errIdle is the cause of the cancellation after Download.Idle.
var errIdle = errors.New("no byte came for too long")

// To downloads the missing part of the file to out. If it fails, a later call continues with the
// bytes in out. After a *Mismatch there is nothing to continue, because To has emptied the partial
// file.
func (d *Download) To(ctx context.Context, out *Output) error {
	var want *File
	var counted File // the file that most counts the bytes of
	var most int64   // the largest number of bytes that out had after an attempt
	err := d.Retry.DoWithProgress(ctx, func(ctx context.Context) (progressed bool, err error) {
		err = d.attempt(ctx, out, &want)
		if want != nil && *want != counted {
			counted, most = *want, 0
		}
		// An attempt that started over downloads bytes again. They are not progress: otherwise, attempts
		// that always start over and break would be repeated forever.
		progressed = out.size > most
		most = max(most, out.size)
		return progressed, err
	})
	if got := out.digest(); err == nil && got != want.SHA256 {
		err = &Mismatch{Err: fmt.Errorf("the SHA-256 of the %d bytes is %s instead of %s", out.size, got, want.SHA256)}
	}
	var mismatch *Mismatch
	if !errors.As(err, &mismatch) || out.partial == nil {
		return err
	}
	inherited := out.inherited
	if err := out.restart(""); err != nil {
		return err
	}
	if inherited { // start over once, because after a crash of the machine the bytes of the earlier process may be damaged
		return d.To(ctx, out)
	}
	return err
}

// attempt sends one request for the missing bytes and appends them to out. It sets *want to the
// expected file.
func (d *Download) attempt(ctx context.Context, out *Output, want **File) error {
	if *want == nil {
		file, err := d.Expect(ctx)
		if err != nil {
			return err
		}
		*want = &file
	}
	size := (*want).Size
	if out.size > size || out.etag == "" { // without an ETag, we cannot check that the bytes belong to the same file
		if err := out.restart(""); err != nil {
			return err
		}
	}
	d.Progress(out.size, size)
	if out.size == size && size > 0 {
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(d.idle(), func() { cancel(errIdle) })
	defer watchdog.Stop()
	response, err := d.send(ctx, out)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	changed, err := d.accept(response, out)
	if err != nil {
		return err
	}
	if changed {
		*want = nil // if Expect fails, the next attempt calls it again
		file, err := d.Expect(ctx)
		if err != nil {
			return err
		}
		*want = &file
		size = file.Size
	}
	if err := d.copy(ctx, out, response.Body, size, watchdog); err != nil {
		return err
	}
	if out.size < size {
		return Transient(fmt.Errorf("the download ended after %d of %d bytes", out.size, size), nil)
	}
	return nil
}

// idle returns d.Idle, or the longest duration (292 years) if there is no limit.
func (d *Download) idle() time.Duration { return cmp.Or(d.Idle, math.MaxInt64) }

// send sends a request for the missing bytes.
func (d *Download) send(ctx context.Context, out *Output) (*http.Response, error) {
	request, err := d.Request(ctx)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept-Encoding", "identity")
	if out.size > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", out.size))
		request.Header.Set("If-Range", out.etag)
	}
	response, err := d.Client.Do(request)
	if err != nil {
		return nil, NoResponse(cause(ctx, err), out.size > 0 || sameHost(request, err))
	}
	return response, nil
}

// sameHost reports whether err concerns the host of the request, which Expect has reached before. Otherwise err
// concerns the host of a redirect, such as an object store.
func sameHost(request *http.Request, err error) bool {
	var failed *url.Error
	if !errors.As(err, &failed) {
		return true
	}
	u, parseErr := url.Parse(failed.URL)
	return parseErr == nil && u.Host == request.URL.Host
}

// cause returns errIdle if the request was cancelled after Download.Idle, and otherwise err.
func cause(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errIdle) {
		return errIdle
	}
	return err
}

var contentRange = regexp.MustCompile(`^bytes ([0-9]+)-[0-9]+/([0-9]+|\*)$`)

// accept prepares out for the body of a response. If the body is the rest of the file, out stays as
// it is. If the body is the whole file, out starts over. accept reports whether the file has
// changed since out received its bytes.
func (d *Download) accept(response *http.Response, out *Output) (changed bool, err error) {
	etag := response.Header.Get("ETag")
	if strings.HasPrefix(etag, "W/") { // files with the same weak ETag can have different bytes
		etag = ""
	}
	encoding := response.Header.Get("Content-Encoding")
	switch status := response.StatusCode; {
	case encoding != "" && encoding != "identity" && status < 300:
		return false, fmt.Errorf("the file came with Content-Encoding %q, which was not requested: a proxy may compress it; make it leave downloads alone", encoding)
	case status == http.StatusOK:
		changed = out.etag != "" && out.etag != etag
		return changed, out.restart(etag)
	case status == http.StatusPartialContent:
		match := contentRange.FindStringSubmatch(response.Header.Get("Content-Range"))
		if out.size > 0 && match != nil && match[1] == strconv.FormatInt(out.size, 10) && etag == out.etag {
			return false, nil
		}
		fallthrough // the response contains a different range
	case status == http.StatusRequestedRangeNotSatisfiable:
		if err := out.restart(""); err != nil {
			return false, err
		}
		return false, Transient(fmt.Errorf("the server answered a request for the rest of the file with %s", response.Status), response)
	}
	return false, d.Refusal(response)
}

// copy appends a body to out. The watchdog cancels the request if no byte arrives for d.idle().
func (d *Download) copy(ctx context.Context, out *Output, body io.Reader, size int64, watchdog *time.Timer) error {
	buffer := make([]byte, 128<<10)
	for {
		watchdog.Reset(d.idle())
		n, readErr := body.Read(buffer)
		watchdog.Stop() // do not count the time that a slow disk or pipe takes
		if out.size+int64(n) > size {
			return &Mismatch{Err: fmt.Errorf("the file is longer than its %d bytes", size)}
		}
		if _, err := out.Write(buffer[:n]); err != nil {
			return err // this error already contains the operation and the path
		}
		d.Progress(out.size, size)
		if readErr == io.EOF {
			return nil
		}
		if readErr != nil {
			return Transient(cause(ctx, readErr), nil)
		}
	}
}
