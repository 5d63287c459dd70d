// Package transfer downloads a file over HTTP such that what breaks off goes on where it stopped, in
// this process or a later one, and that nothing is taken for the file but the file: its length and
// SHA-256 are compared at the end.
package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// File is what the file is known to be.
type File struct {
	Size   int64  // in bytes
	SHA256 string // in hexadecimal
}

// Download is a file to download.
type Download struct {
	// Client sends the requests. It must not decompress, and have no timeout for a whole answer.
	Client *http.Client
	// Request makes a plain request for the whole file.
	Request func(context.Context) (*http.Request, error)
	// Refusal makes an error of an answer that is no file.
	Refusal func(*http.Response) error
	// Expect says what the file has to be. It is asked again when the file has changed.
	Expect func(context.Context) (File, error)
	// Idle is how long a request may go on without a single byte.
	Idle  time.Duration
	Retry Retry
	// Progress is told how many bytes there are, of how many.
	Progress func(done, total int64)
}

// Mismatch is a file that is not what it has to be.
type Mismatch struct{ Err error }

func (m *Mismatch) Error() string { return m.Err.Error() }
func (m *Mismatch) Unwrap() error { return m.Err }

// errIdle is why a request was cut.
var errIdle = errors.New("no byte came for too long")

// To downloads the file to out, or what is missing of it. Whatever the error, out keeps what it has,
// so that a later call goes on, except that a *Mismatch leaves nothing in a partial file.
func (d *Download) To(ctx context.Context, out *Output) error {
	var want *File
	err := d.Retry.Do(ctx, func(ctx context.Context) (progress bool, err error) {
		before := out.received
		err = d.attempt(ctx, out, &want)
		return out.received > before, err
	})
	if got := out.digest(); err == nil && got != want.SHA256 {
		err = &Mismatch{fmt.Errorf("the SHA-256 of the %d bytes is %s instead of %s", out.size, got, want.SHA256)}
	}
	var mismatch *Mismatch
	if !errors.As(err, &mismatch) || out.partial == nil {
		return err
	}
	inherited := out.inherited
	if err := out.restart(""); err != nil {
		return err
	}
	if inherited { // a crash of the machine may have spoilt what an earlier process wrote
		return d.To(ctx, out)
	}
	return err
}

// attempt sends one request for what is missing, and writes the answer.
func (d *Download) attempt(ctx context.Context, out *Output, want **File) error {
	if *want == nil {
		file, err := d.Expect(ctx)
		if err != nil {
			return err
		}
		*want = &file
	}
	size := (*want).Size
	if out.size > size || out.etag == "" { // without a validator nobody can tell what it is the beginning of
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
	watchdog := time.AfterFunc(d.Idle, func() { cancel(errIdle) })
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

// send asks for what is missing.
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
		return nil, NoResponse(because(ctx, err))
	}
	return response, nil
}

// because is why a request ended: its own error, unless it was cut for idleness.
func because(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errIdle) {
		return errIdle
	}
	return err
}

var contentRange = regexp.MustCompile(`^bytes ([0-9]+)-[0-9]+/([0-9]+|\*)$`)

// accept makes out ready for the body of an answer: it goes on with the same file or starts over.
// It reports whether the file is another one than the bytes so far are of.
func (d *Download) accept(response *http.Response, out *Output) (changed bool, err error) {
	etag := response.Header.Get("ETag")
	if strings.HasPrefix(etag, "W/") { // a weak one says nothing about bytes
		etag = ""
	}
	encoding := response.Header.Get("Content-Encoding")
	switch status := response.StatusCode; {
	case encoding != "" && encoding != "identity" && status < 300:
		return false, fmt.Errorf("something on the way sent the file in the encoding %q, which was not asked for", encoding)
	case status == http.StatusOK:
		changed = out.etag != "" && out.etag != etag
		return changed, out.restart(etag)
	case status == http.StatusPartialContent:
		match := contentRange.FindStringSubmatch(response.Header.Get("Content-Range"))
		if out.size > 0 && match != nil && match[1] == strconv.FormatInt(out.size, 10) && etag == out.etag {
			return false, nil
		}
		fallthrough // not what was asked for
	case status == http.StatusRequestedRangeNotSatisfiable:
		if err := out.restart(""); err != nil {
			return false, err
		}
		return false, Transient(fmt.Errorf("the server answered a request for the rest of the file with %s", response.Status), response)
	}
	return false, d.Refusal(response)
}

// copy writes a body to out. The watchdog cuts it when no byte comes for too long.
func (d *Download) copy(ctx context.Context, out *Output, body io.Reader, size int64, watchdog *time.Timer) error {
	buffer := make([]byte, 128<<10)
	for {
		watchdog.Reset(d.Idle)
		n, readErr := body.Read(buffer)
		watchdog.Stop() // a slow disk or reader of a pipe is not the server's fault
		if out.size+int64(n) > size {
			return &Mismatch{fmt.Errorf("the file is longer than its %d bytes", size)}
		}
		if _, err := out.Write(buffer[:n]); err != nil {
			return fmt.Errorf("write: %w", err)
		}
		d.Progress(out.size, size)
		if readErr == io.EOF {
			return nil
		}
		if readErr != nil {
			return Transient(because(ctx, readErr), nil)
		}
	}
}
