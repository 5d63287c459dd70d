package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path/filepath"
	"strings"

	"github.com/google/uuid"

	"memexport/client"
	"memexport/internal/cli/progress"
	"memexport/internal/cli/transfer"
)

// Job is a file to save: of a new export, or of one that there is.
type Job struct {
	Params client.CreateExportParams // of a new export
	ID     uuid.UUID                 // of the export that there is, or zero
	// Output is the path of the file, - for Stream, or empty for the name that the server gives.
	Output string
	Stream io.Writer
	// Force overwrites a file that is there; Restart forgets what an earlier process has begun.
	Force, Restart bool
}

// Saved is what has become of a job.
type Saved struct {
	Export Export `json:"export"`
	File   string `json:"file"` // its path, or -
}

// The reasons for which a job is refused before anything is sent.
var (
	ErrExists = errors.New("the file exists")
	ErrOther  = errors.New("an unfinished run for something else is in the way")
)

// saving is a job under way.
type saving struct {
	*Remote
	Job
	partial *transfer.Partial // nil for a stream
	state   *transfer.State   // the partial's
	begun   bool              // by an earlier process
	done    float64           // the share that has been downloaded
}

// Save does a job. Whatever ends it, doing it again goes on where it stopped.
func (r *Remote) Save(ctx context.Context, job Job) (Saved, error) {
	s := &saving{Remote: r, Job: job, state: &transfer.State{}}
	if job.Output != "-" {
		if err := s.open(); err != nil {
			return Saved{}, err
		}
		defer s.partial.Close() //nolint:errcheck // closed already if all went well
		r.resumed = s.begun
	}
	saved, err := s.run(ctx)
	if err != nil && ctx.Err() != nil {
		return saved, s.interrupted()
	}
	return saved, err
}

func (s *saving) run(ctx context.Context) (Saved, error) {
	e, err := s.ready(ctx)
	if err != nil {
		return Saved{}, err
	}
	saved := Saved{Export: e, File: s.Output}
	if s.Output == "" {
		if saved.File, err = s.serverName(ctx, e); err != nil {
			return saved, err
		}
		if err := s.free(saved.File); err != nil {
			return saved, errors.Join(err, s.partial.Remove())
		}
	}
	if err := s.download(ctx, e); err != nil || s.partial == nil {
		return saved, err
	}
	if err := s.partial.Finish(saved.File, s.Force); err != nil {
		return saved, err
	}
	return saved, nil
}

// ready returns the export when its file can be downloaded.
func (s *saving) ready(ctx context.Context) (Export, error) {
	if s.partial == nil {
		if err := s.begin(); err != nil {
			return Export{}, err
		}
	}
	e, err := s.await(ctx)
	if gone(err) && s.begun && s.ID == uuid.Nil {
		s.options.Report.Say("the export %s of an earlier run is gone: creating a new one", s.state.ExportID)
		s.begun = false
		if err := s.begin(); err != nil {
			return e, err
		}
		e, err = s.await(ctx)
	}
	if s.partial != nil && ctx.Err() == nil && s.pointless(err) {
		return e, errors.Join(err, s.partial.Remove())
	}
	return e, err
}

// gone reports whether there is no file, and never will be.
func gone(err error) bool {
	var expired *Expired
	var refusal *Refusal
	return errors.As(err, &expired) ||
		errors.As(err, &refusal) && (refusal.Status == http.StatusNotFound || refusal.Status == http.StatusGone)
}

// pointless reports whether another run has nothing to go on with after this error.
func (s *saving) pointless(err error) bool {
	var failed *Failed
	if err == nil || gone(err) || errors.As(err, &failed) {
		return err != nil
	}
	var gaveUp *transfer.GaveUp
	if errors.As(err, &gaveUp) { // it may have been accepted, unless nobody was there
		return !s.begun && !s.reached.Load()
	}
	return s.state.ExportID == "" || !s.begun && s.ID != uuid.Nil // it was refused
}

// await creates the export, unless it is there, and waits for it.
func (s *saving) await(ctx context.Context) (Export, error) {
	if s.state.ExportID == "" {
		s.Params.IdempotencyKey = &s.state.IdempotencyKey
		e, err := s.Create(ctx, s.Params)
		if err != nil {
			return e, err
		}
		s.state.ExportID = e.ID.String()
		if err := s.save(); err != nil {
			return e, err
		}
		s.options.Report.Say("export %s", s.state.ExportID)
	} else if s.begun {
		s.options.Report.Say("going on with the export %s", s.state.ExportID)
	}
	id, err := uuid.Parse(s.state.ExportID)
	if err != nil {
		return Export{}, fmt.Errorf("the state of %s is not right: %w; give --restart to forget it", s.partial.Path(), err)
	}
	return s.Await(ctx, id)
}

// serverName asks for the name of the file.
func (s *saving) serverName(ctx context.Context, e Export) (string, error) {
	var disposition string
	err := s.call(ctx, func(ctx context.Context) (*http.Response, error) {
		response, err := s.api.DownloadExport(ctx, e.ID, nil, func(_ context.Context, r *http.Request) error {
			r.Method = http.MethodHead
			return nil
		})
		if err == nil {
			disposition = response.Header.Get("Content-Disposition")
		}
		return response, err
	}, nil)
	if err != nil && !errors.Is(err, ErrNotTheAPI) { // a refusal has no body here; the download will say it
		return "", err
	}
	_, params, err := mime.ParseMediaType(disposition)
	name := params["filename"]
	if err != nil || name == "" || strings.HasPrefix(name, ".") || strings.ContainsAny(name, "/\\\x00") {
		return fmt.Sprintf("memories-%s.%s", e.ID, e.Format), nil // whatever the server means, it is not followed elsewhere
	}
	return filepath.Base(name), nil
}

// download gets the file, or what is missing of it.
func (s *saving) download(ctx context.Context, e Export) error {
	out := transfer.ToStream(s.Stream)
	if s.partial != nil {
		var err error
		if out, err = transfer.ToPartial(s.partial); err != nil {
			return err
		}
	}
	task := s.options.Report.Begin("downloading", progress.Bytes)
	d := transfer.Download{
		Client: s.files,
		Request: func(ctx context.Context) (*http.Request, error) {
			request, err := client.NewDownloadExportRequest(s.api.Server, e.ID, nil)
			if err != nil {
				return nil, err
			}
			return request.WithContext(ctx), s.sign(ctx, request)
		},
		Refusal: s.refusal,
		Expect:  func(ctx context.Context) (transfer.File, error) { return s.expect(ctx, e.ID) },
		Idle:    s.options.Idle,
		Retry:   s.retry,
		Progress: func(done, total int64) {
			s.done = float64(done) / float64(max(total, 1))
			task.Set(done, s.done)
		},
	}
	err := d.To(ctx, out)
	task.End()
	if s.partial != nil && gone(err) {
		return errors.Join(err, s.partial.Remove())
	}
	return err
}

// expect returns what the Export object says about the file now.
func (s *saving) expect(ctx context.Context, id uuid.UUID) (transfer.File, error) {
	var e Export
	err := s.once(ctx, answerTimeout, func(ctx context.Context) (*http.Response, error) { return s.api.GetExport(ctx, id, nil) }, &e)
	switch {
	case err != nil:
		return transfer.File{}, err
	case e.Status == client.EXPIRED:
		return transfer.File{}, &Expired{id}
	case e.SizeBytes == nil || e.Sha256 == nil:
		return transfer.File{}, fmt.Errorf("the export %s is %s without the size and the digest of a file", id, e.Status)
	}
	return transfer.File{Size: *e.SizeBytes, SHA256: *e.Sha256}, nil
}

// interrupted says what is there, and how to go on with it.
func (s *saving) interrupted() error {
	var text string
	switch {
	case s.partial == nil && s.state.ExportID != "":
		text = fmt.Sprintf(": the export goes on without you; get it with: memexport download %s -o FILE", s.state.ExportID)
	case s.partial == nil:
	case s.done > 0:
		text = fmt.Sprintf(" at %d%%, which is in %s: run the same command again to go on", int(s.done*100), s.partial.Path())
	default:
		text = fmt.Sprintf(": the export goes on without you; run the same command again to go on with it (%s knows it)", s.partial.Path())
	}
	return errors.New("interrupted" + text)
}
