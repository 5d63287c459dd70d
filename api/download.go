package api

import (
	"context"
	"errors"
	"fmt"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"memexport/internal/archive"
	"memexport/internal/export"
	"memexport/internal/format"
)

type downloadInput struct {
	ID string `path:"id"`
}

func (s *server) downloadExport(ctx context.Context, in *downloadInput) (*huma.StreamResponse, error) {
	e, err := s.find(ctx, in.ID)
	if err != nil {
		return nil, s.problem(ctx, err)
	}
	if p := notDownloadable(e); p != nil {
		return nil, p
	}
	f, file, err := s.open(ctx, e)
	if err != nil {
		return nil, s.openProblem(ctx, e, err)
	}
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		r, w := humago.Unwrap(hctx)
		s.serveFile(w, r, e, f, file)
	}}, nil
}

// notDownloadable is why an export has no file to download, or nil.
func notDownloadable(e export.Export) *Problem {
	switch e.Status {
	case export.Ready:
		return nil
	case export.Expired:
		return newProblem(codeExportExpired)
	case export.Failed:
		return newProblem(codeExportFailed)
	}
	return newProblem(codeExportNotReady).with("Retry-After", retryAfter(e))
}

// open returns the file of a READY export. Nothing is read yet.
func (s *server) open(ctx context.Context, e export.Export) (*format.Format, *archive.File, error) {
	f, ok := format.Lookup(e.Format)
	if !ok {
		return nil, nil, fmt.Errorf("the format %q of the export %s is unknown", e.Format, e.ID)
	}
	bounded, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	recorded, err := s.exports.Parts(bounded, e.ID, -1)
	if err != nil {
		return nil, nil, err
	}
	parts := make([]archive.Part, len(recorded))
	for i, p := range recorded {
		parts[i] = p.Part
	}
	file := s.archive.File(ctx, f, parts)
	if e.SizeBytes == nil || e.SHA256 == nil || e.CompletedAt == nil {
		return nil, nil, fmt.Errorf("the export %s is READY without size, digest or time", e.ID)
	}
	if file.Size() != *e.SizeBytes {
		return nil, nil, fmt.Errorf("the parts of the export %s make %d bytes instead of %d", e.ID, file.Size(), *e.SizeBytes)
	}
	return f, file, nil
}

// openProblem looks at the row once more: an export that has expired or been deleted meanwhile has
// lost its parts for that reason.
func (s *server) openProblem(ctx context.Context, e export.Export, cause error) *Problem {
	now, err := s.find(ctx, e.ID)
	if errors.Is(err, export.ErrNotFound) {
		return newProblem(codeExportNotFound)
	}
	if err == nil {
		if p := notDownloadable(now); p != nil {
			return p
		}
	}
	return s.problem(ctx, cause)
}
