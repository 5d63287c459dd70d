package remote

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"

	"github.com/google/uuid"

	"memexport/client"
	"memexport/internal/cli/transfer"
)

// request is what the job asks for, in one line.
func (s *saving) request() string {
	if s.ID != uuid.Nil {
		return "export " + s.ID.String()
	}
	r, err := client.NewCreateExportRequest("", &s.Params)
	if err != nil {
		return err.Error() // sending it will say so
	}
	return "POST " + r.URL.RawQuery
}

// open opens the partial file, and makes it that of this job.
func (s *saving) open() error {
	path := s.Output + ".partial"
	if s.Output == "" {
		// The name is known only at the end, but the same command has to find what it has begun.
		sum := sha256.Sum256([]byte(s.options.URL + "\n" + s.request()))
		path = "memexport-" + hex.EncodeToString(sum[:6]) + ".partial"
	} else if err := s.free(s.Output); err != nil {
		return err
	}
	if s.Restart {
		if err := transfer.RemovePartial(path); err != nil {
			return err
		}
	}
	p, err := transfer.OpenPartial(path)
	if err != nil {
		return err
	}
	s.partial, s.state = p, &p.State
	s.begun = p.State.URL == s.options.URL &&
		(p.State.Request == s.request() || s.ID != uuid.Nil && p.State.ExportID == s.ID.String())
	if !s.begun && p.State.ExportID != "" {
		p.Close()
		return fmt.Errorf("%w: %s belongs to the export %s of %s; finish that with the same arguments as before, or give --restart to forget it",
			ErrOther, path, p.State.ExportID, p.State.URL)
	}
	if s.begun {
		return nil
	}
	return s.begin()
}

// free reports an error if a file is in the way.
func (s *saving) free(path string) error {
	info, err := os.Stat(path)
	switch {
	case err == nil && !info.Mode().IsRegular():
		return fmt.Errorf("%w and is no regular file: %s; give the name of a file", ErrExists, path)
	case err == nil && !s.Force:
		return fmt.Errorf("%w: %s; give --force to overwrite it, or another -o", ErrExists, path)
	}
	return nil
}

// begin makes the state that of a new run.
func (s *saving) begin() error {
	*s.state = transfer.State{URL: s.options.URL, Request: s.request(), IdempotencyKey: "memexport-" + uuid.NewString()}
	if s.ID != uuid.Nil {
		s.state.IdempotencyKey, s.state.ExportID = "", s.ID.String()
	}
	return s.save()
}

func (s *saving) save() error {
	if s.partial == nil {
		return nil
	}
	return s.partial.Save()
}
