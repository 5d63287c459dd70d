package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"unicode"

	"github.com/google/uuid"

	"memexport/client"
	"memexport/internal/cli/progress"
	"memexport/internal/cli/resume"
)

// Job describes which file to save, and where.
type Job struct {
	// ID is the id of an existing export. If it is zero, Save creates an export with Params.
	ID     uuid.UUID
	Params client.CreateExportParams
	// Output is the path of the file. If it is "-", Save writes to Stream. If it is empty, the
	// server gives the file its name.
	Output string
	Stream io.Writer
	// Force overwrites an existing file.
	Force bool
	// Restart discards the partial file and the state of an earlier run with the same Output.
	Restart bool
}

// Saved is the result of a job.
type Saved struct {
	Export Export `json:"export"`
	File   string `json:"file"` // the path of the file, or "-"
}

// saving is a job that Save is working on.
type saving struct {
	svc       *Service
	job       Job
	partial   *resume.Partial // nil for a stream
	state     *resume.State   // partial.State, or the state of a stream, which is not saved
	continued bool            // an earlier process began this job
	share     float64         // downloaded so far, from 0 to 1
}

// Save waits until the export is READY and saves its file. If it fails or the process is killed, a
// later call with the same job continues the download.
func (svc *Service) Save(ctx context.Context, job Job) (Saved, error) {
	s := &saving{svc: svc, job: job, state: &resume.State{}}
	if job.Output != "-" {
		if err := s.openPartial(); err != nil {
			return Saved{}, err
		}
		defer s.partial.Close() //nolint:errcheck // the bytes are synced before the file gets its name
		if s.continued {
			svc.reached.Store(true)
		}
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
	saved := Saved{Export: e, File: s.job.Output}
	if s.job.Output == "" {
		if saved.File, err = s.serverName(ctx, e); err != nil {
			return saved, err
		}
		if err := s.checkTarget(saved.File); err != nil {
			return saved, errors.Join(err, s.partial.Remove())
		}
	}
	if err := s.download(ctx, e); err != nil || s.partial == nil {
		return saved, err
	}
	existing := resume.Keep
	if s.job.Force {
		existing = resume.Replace
	}
	return saved, s.partial.Finish(saved.File, existing)
}

// ready waits until the file can be downloaded and returns the export. If an earlier process created
// the export and the export no longer exists, ready creates a new one.
func (s *saving) ready(ctx context.Context) (Export, error) {
	if s.partial == nil {
		if err := s.begin(); err != nil {
			return Export{}, err
		}
	}
	e, err := s.createAndAwait(ctx)
	if gone(err) && s.continued && s.job.ID == uuid.Nil {
		s.svc.options.Report.Say("the export %s of an earlier run is gone: creating a new one", s.state.ExportID)
		s.continued = false
		if err := s.begin(); err != nil {
			return e, err
		}
		e, err = s.createAndAwait(ctx)
	}
	if s.partial != nil && ctx.Err() == nil && s.pointless(err) {
		return e, errors.Join(err, s.partial.Remove())
	}
	return e, err
}

// gone reports whether err means that the export or its file no longer exists.
func gone(err error) bool {
	var expired *Expired
	var refusal *Refusal
	return errors.As(err, &expired) ||
		errors.As(err, &refusal) && (refusal.Status == http.StatusNotFound || refusal.Status == http.StatusGone)
}

// pointless reports whether it is useless to continue the job after err, so that its state can be
// deleted.
func (s *saving) pointless(err error) bool {
	var failed *Failed
	if err == nil {
		return false
	}
	if gone(err) || errors.As(err, &failed) {
		return true
	}
	var gaveUp *resume.GaveUp
	if errors.As(err, &gaveUp) { // if the service was reached, it may have accepted the request
		return !s.continued && !s.svc.reached.Load()
	}
	refused := s.state.ExportID == "" || !s.continued && s.job.ID != uuid.Nil
	return refused
}

// createAndAwait creates the export, unless the state names one, and waits until it is ready.
func (s *saving) createAndAwait(ctx context.Context) (Export, error) {
	if s.state.ExportID == "" {
		s.job.Params.IdempotencyKey = &s.state.IdempotencyKey
		e, err := s.svc.Create(ctx, s.job.Params)
		if err != nil {
			return e, err
		}
		s.state.ExportID = e.ID.String()
		if err := s.saveState(); err != nil {
			return e, err
		}
		s.svc.options.Report.Say("export %s", s.state.ExportID)
	} else if s.continued {
		s.svc.options.Report.Say("going on with the export %s", s.state.ExportID)
	}
	id, err := uuid.Parse(s.state.ExportID)
	if err != nil {
		return Export{}, fmt.Errorf("the state of %s names no valid export: %w; add --restart to discard it", s.partial.Path(), err)
	}
	return s.svc.Await(ctx, id)
}

// serverName returns the file name that the server suggests in Content-Disposition. If safeName
// rejects that name, serverName returns one made from the export's id.
func (s *saving) serverName(ctx context.Context, e Export) (string, error) {
	var disposition string
	err := s.svc.call(ctx, func(ctx context.Context) (*http.Response, error) {
		response, err := s.svc.api.DownloadExport(ctx, e.ID, nil, func(_ context.Context, r *http.Request) error {
			r.Method = http.MethodHead
			return nil
		})
		if err == nil {
			disposition = response.Header.Get("Content-Disposition")
		}
		return response, err
	}, nil)
	// An error response to HEAD has no body, so it looks like ErrNotTheAPI. The download will get the same
	// response with its body, and report it.
	if err != nil && !errors.Is(err, ErrNotTheAPI) {
		return "", err
	}
	_, params, err := mime.ParseMediaType(disposition)
	if name := params["filename"]; err == nil && safeName(name) {
		return name, nil
	}
	return fmt.Sprintf("memories-%s.%s", e.ID, e.Format), nil
}

// safeName reports whether name is a file name without a path, not hidden, printable, and valid on every
// system. Windows reserves some characters and some names such as NUL, and does not allow dots and
// spaces at the end.
func safeName(name string) bool {
	device, _, _ := strings.Cut(name, ".")
	return filepath.IsLocal(name) && !strings.HasPrefix(name, ".") && !strings.HasSuffix(name, ".") && !strings.HasSuffix(name, " ") &&
		!strings.ContainsAny(name, `<>:"/\|?*`) && !strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) &&
		!windowsDevice.MatchString(device)
}

var windowsDevice = regexp.MustCompile(`(?i)^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]) *$`)

// download downloads the part of the file that is still missing.
func (s *saving) download(ctx context.Context, e Export) error {
	out := resume.ToStream(s.job.Stream)
	if s.partial != nil {
		var err error
		if out, err = resume.ToPartial(s.partial); err != nil {
			return err
		}
	}
	task := s.svc.options.Report.Begin("downloading", progress.Bytes)
	d := resume.Download{
		Client: s.svc.files,
		Request: func(ctx context.Context) (*http.Request, error) {
			request, err := client.NewDownloadExportRequest(s.svc.api.Server, e.ID, nil)
			if err != nil {
				return nil, err
			}
			return request.WithContext(ctx), s.svc.sign(ctx, request)
		},
		Refusal: s.svc.refusal,
		Expect:  func(ctx context.Context) (resume.File, error) { return s.expect(ctx, e.ID) },
		Idle:    s.svc.options.Idle,
		Retry:   s.svc.retry,
		Progress: func(done, total int64) {
			s.share = float64(done) / float64(max(total, 1))
			task.Set(done, s.share)
		},
	}
	err := d.To(ctx, out)
	task.End()
	if s.partial != nil && gone(err) {
		return errors.Join(err, s.partial.Remove())
	}
	return err
}

// expect returns the size and digest of the file from the current Export object.
func (s *saving) expect(ctx context.Context, id uuid.UUID) (resume.File, error) {
	var e Export
	err := s.svc.once(ctx, answerTimeout, func(ctx context.Context) (*http.Response, error) { return s.svc.api.GetExport(ctx, id, nil) }, &e)
	switch {
	case err != nil:
		return resume.File{}, err
	case e.Status == client.EXPIRED:
		return resume.File{}, &Expired{ID: id}
	case e.SizeBytes == nil || e.Sha256 == nil:
		return resume.File{}, fmt.Errorf("the export %s is %s without the size and the digest of a file", id, e.Status)
	}
	return resume.File{Size: *e.SizeBytes, SHA256: *e.Sha256}, nil
}

// interrupted returns an error that says what was saved and how to continue.
func (s *saving) interrupted() error {
	var text string
	switch {
	case s.partial == nil && s.state.ExportID != "":
		text = fmt.Sprintf(": the export continues on the server; get its file with: memexport download %s -o FILE", s.state.ExportID)
	case s.partial == nil:
	case s.share > 0:
		text = fmt.Sprintf(" at %d%%, which is in %s: run the same command again to go on", int(s.share*100), s.partial.Path())
	default:
		text = fmt.Sprintf(": the export continues on the server; run the same command again to get its file (%s has the state)", s.partial.Path())
	}
	return errors.New("interrupted" + text)
}
