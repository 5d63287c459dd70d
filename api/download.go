package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"memexport/internal/service/archive"
	"memexport/internal/service/export"
	"memexport/internal/service/format"
)

type downloadInput struct {
	ID      string `path:"id"`
	request *http.Request
}

// Resolve keeps the request, of which all matters.
func (in *downloadInput) Resolve(ctx huma.Context) []error {
	in.request, _ = humago.Unwrap(ctx)
	return nil
}

func (s *server) downloadExport(ctx context.Context, in *downloadInput) (*huma.StreamResponse, error) {
	e, err := s.find(ctx, in.ID)
	if err != nil {
		return nil, s.problem(ctx, err)
	}
	if p := notDownloadable(e); p != nil {
		return nil, p
	}
	if address := s.addressInStore(in.request, e); address != "" {
		return &huma.StreamResponse{Body: func(hctx huma.Context) {
			hctx.SetHeader("Location", address)
			hctx.SetHeader("Cache-Control", "private, no-store") // it is no longer good in some minutes
			hctx.SetStatus(http.StatusFound)
		}}, nil
	}
	opened, err := s.open(ctx, e)
	if err != nil {
		return nil, s.openProblem(ctx, e, err)
	}
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		r, w := humago.Unwrap(hctx)
		s.serveFile(w, r, opened)
	}}, nil
}

// longestAddress is how long an address in the store works at most: who has it needs no key.
const longestAddress = 15 * time.Minute

// addressInStore is where in the store the file is to be had, or "" if the API has to send it.
func (s *server) addressInStore(r *http.Request, e export.Export) string {
	if !s.redirect || e.FileObject == nil || r.Method != http.MethodGet {
		return ""
	}
	for _, name := range []string{"If-Match", "If-None-Match", "If-Range"} {
		if strings.Contains(r.Header.Get(name), *e.SHA256) {
			return "" // the store knows the file by another ETag
		}
	}
	lifetime := min(longestAddress, time.Until(*e.ExpiresAt)).Truncate(time.Second) // as it is signed
	f, ok := format.Lookup(e.Format)
	if !ok || lifetime < time.Second || strings.Contains(r.Header.Get("Range"), ",") { // S3 sends one range only
		return ""
	}
	address, err := s.archive.SignedURL(r.Context(), *e.FileObject, lifetime, filename(e, f))
	if err != nil {
		s.log.WarnContext(r.Context(), "no address in the store could be signed; the API sends the file", append(requestOf(r.Context()).attrs(), "error", err)...)
		return ""
	}
	return address
}

// filename is what the file is to be called.
func filename(e export.Export, f *format.Format) string {
	return fmt.Sprintf("memories-%s-%s.%s", e.CompletedAt.Format("20060102"), e.ID, f.Extension)
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

// openFile is the file of a READY export, in the forms in which it can be sent.
type openFile struct {
	export export.Export
	format *format.Format
	plain  *archive.File
	gzip   *archive.File // nil unless it is stored compressed
}

// open returns the file of a READY export. Nothing is read yet.
func (s *server) open(ctx context.Context, e export.Export) (o openFile, err error) {
	f, ok := format.Lookup(e.Format)
	if !ok {
		return o, fmt.Errorf("the format %q of the export %s is unknown", e.Format, e.ID)
	}
	bounded, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	recorded, err := s.exports.Parts(bounded, e.ID)
	if err != nil {
		return o, err
	}
	parts := export.Stored(recorded)
	o = openFile{export: e, format: f, plain: s.archive.File(ctx, f, parts)}
	if e.SizeBytes == nil || e.SHA256 == nil || e.CompletedAt == nil {
		return o, fmt.Errorf("the export %s is READY without size, digest or time", e.ID)
	}
	if o.plain.Size() != *e.SizeBytes {
		return o, fmt.Errorf("the parts of the export %s make %d bytes instead of %d", e.ID, o.plain.Size(), *e.SizeBytes)
	}
	if member, ok := s.archive.GzipFile(ctx, f, parts); ok {
		o.gzip = member
	}
	return o, nil
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
