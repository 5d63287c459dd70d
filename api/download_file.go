package api

import (
	"context"
	"errors"
	"fmt"

	"memexport/internal/service/archive"
	"memexport/internal/service/export"
	"memexport/internal/service/format"
)

// openFile is the file of a READY export, in the forms in which it can be sent.
type openFile struct {
	format *format.Format
	plain  *archive.File
	gzip   *archive.File // nil unless the file is stored compressed
}

// open returns the file of a READY export. The caller must call release when it no longer needs the file. open
// does not read from the store.
func (s *service) open(ctx context.Context, e export.Export) (o openFile, release func(), err error) {
	if e.SizeBytes == nil || e.SHA256 == nil || e.CompletedAt == nil {
		return o, nil, fmt.Errorf("the export %s is READY without size, digest or time", e.ID)
	}
	// Others may wait for the same load, so it goes on if this client leaves.
	load := func() (openFile, error) { return s.load(context.WithoutCancel(ctx), e) }
	o, release, err = s.files.take(ctx, e.ID+" "+*e.SHA256, load)
	if err != nil {
		return o, nil, err
	}
	o.plain = o.plain.Another(ctx)
	if o.gzip != nil {
		o.gzip = o.gzip.Another(ctx)
	}
	return o, release, nil
}

// load returns the file of an export whose size is set.
func (s *service) load(ctx context.Context, e export.Export) (o openFile, err error) {
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
	o = openFile{format: f, plain: s.archive.File(ctx, f, parts)}
	if o.plain.Size() != *e.SizeBytes {
		return o, fmt.Errorf("the parts of the export %s make %d bytes instead of %d", e.ID, o.plain.Size(), *e.SizeBytes)
	}
	if member, ok := s.archive.GzipFile(ctx, f, parts); ok {
		o.gzip = member
	}
	return o, nil
}

// filename returns the name that a client gives the downloaded file.
func filename(e export.Export, f *format.Format) string {
	return fmt.Sprintf("memories-%s-%s.%s", e.CompletedAt.Format("20060102"), e.ID, f.Extension)
}

// notDownloadable returns why an export has no file to download, or nil if it has one.
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

// unreadable returns the problem to answer with if cause prevented reading the file. It reads the export
// again first: if the export has expired or been deleted meanwhile, its parts are gone, and the answer
// says so. Otherwise unreadable checks the bucket before it answers that the file is lost: while the bucket
// cannot be read, its files only seem to be lost.
func (s *service) unreadable(ctx context.Context, e export.Export, cause error) *Problem {
	now, err := s.find(ctx, e.ID)
	if errors.Is(err, export.ErrNotFound) {
		return newProblem(codeExportNotFound)
	}
	if err == nil {
		if p := notDownloadable(now); p != nil {
			return p
		}
	}
	if !archive.Lost(cause) {
		return s.problem(ctx, cause)
	}
	bounded, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if err := s.archive.Check(bounded); err != nil {
		return s.problem(ctx, err)
	}
	s.log.ErrorContext(ctx, "the file of a READY export is lost: check that BUCKET_URL names the bucket that the workers write to, and that the bucket and the database are of the same time if a backup was restored",
		append(infoOf(ctx).attrs(), "error", cause)...)
	return newProblem(codeExportFileLost)
}
