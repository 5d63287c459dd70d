package remote

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/uuid"

	"memexport/client"
	"memexport/internal/cli/resume"
)

// These errors mean that Save rejected a job before it sent a request.
var (
	ErrExists      = errors.New("the file exists")
	ErrOther       = errors.New("an unfinished run for something else is in the way")
	ErrNoDirectory = errors.New("the directory does not exist")
)

// request describes the job's request in one line.
func (s *saving) request() string {
	if s.job.ID != uuid.Nil {
		return "export " + s.job.ID.String()
	}
	r, err := client.NewCreateExportRequest("", &s.job.Params)
	if err != nil {
		return err.Error() // Create will fail with the same error
	}
	return "POST " + r.URL.RawQuery
}

// openPartial opens the partial file. If the file's state belongs to the same job, openPartial
// continues the earlier run. Otherwise it starts a new run, or returns ErrOther if the state belongs to
// another export.
func (s *saving) openPartial() error {
	path := s.job.Output + ".partial"
	if s.job.Output == "" {
		// The server gives the file a name only when the export is READY. So the name of the partial file
		// comes from the request, and the same command finds the partial file again.
		sum := sha256.Sum256([]byte(s.svc.options.URL + "\n" + s.request()))
		path = "memexport-" + hex.EncodeToString(sum[:6]) + ".partial"
	} else if err := s.checkTarget(s.job.Output); err != nil {
		return err
	}
	if s.job.Restart {
		if err := resume.RemovePartial(path); err != nil {
			return err
		}
	}
	p, err := resume.OpenPartial(path)
	if err != nil {
		return err
	}
	s.partial, s.state = p, &p.State
	s.continued = p.State.URL == s.svc.options.URL &&
		(p.State.Request == s.request() || s.job.ID != uuid.Nil && p.State.ExportID == s.job.ID.String())
	if s.continued {
		return nil
	}
	if p.State.ExportID != "" {
		return errors.Join(fmt.Errorf("%w: %s belongs to the export %s of %s; run the earlier command again to finish it, or add --restart to discard it",
			ErrOther, path, p.State.ExportID, p.State.URL), p.Close())
	}
	if err := s.begin(); err != nil { // it fails, for example, if the disk is full
		return errors.Join(err, p.Remove())
	}
	return nil
}

// checkTarget returns an error if no file may be written at path.
func (s *saving) checkTarget(path string) error {
	info, err := os.Lstat(path)
	switch {
	case err == nil && info.Mode()&fs.ModeSymlink != 0: // Finish would replace the link, and leave the file that it points to
		return fmt.Errorf("%w and is a symbolic link: %s; give the path of the file that it points to, or give another -o", ErrExists, path)
	case err == nil && !info.Mode().IsRegular():
		return fmt.Errorf("%w and is not a regular file: %s; give the name of a file", ErrExists, path)
	case err == nil && !s.job.Force:
		return fmt.Errorf("%w: %s; add --force to overwrite it, or give another -o", ErrExists, path)
	}
	dir := filepath.Dir(path)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s; create it, or give another -o", ErrNoDirectory, dir)
	}
	return nil
}

// begin replaces the state with the initial state of a new run, and saves it.
func (s *saving) begin() error {
	*s.state = resume.State{URL: s.svc.options.URL, Request: s.request()}
	if s.job.ID != uuid.Nil {
		s.state.ExportID = s.job.ID.String()
	} else {
		s.state.IdempotencyKey = "memexport-" + uuid.NewString()
	}
	return s.saveState()
}

// saveState saves the state beside the partial file. It does nothing for a stream.
func (s *saving) saveState() error {
	if s.partial == nil {
		return nil
	}
	return s.partial.Save()
}
