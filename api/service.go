package api

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"memexport/internal/service/apikey"
	"memexport/internal/service/archive"
	"memexport/internal/service/audit"
	"memexport/internal/service/export"
	"memexport/internal/service/rowid"
	"memexport/workflows"
)

const (
	// storeTimeout limits each call of a handler to Postgres. If the database does not answer, a 503 is
	// better than a client that waits.
	storeTimeout = 10 * time.Second
	// temporalTimeout is short because nothing depends on the outcome: the reconciler does later what
	// was not done in time.
	temporalTimeout = 2 * time.Second
)

// service has what the handlers need.
type service struct {
	exports *export.Store
	keys    *apikey.Store
	archive *archive.Archive
	starter *workflows.Starter
	audit   *audit.Store // nil: audit events are only logged
	reads   reads

	watchers  *watchers
	rates     *rates
	longPolls *slots
	downloads *slots

	redirect bool
	ready    func(context.Context) error
	log      *slog.Logger
	version  string
}

type workspaceKey struct{}

// withWorkspace returns a context for a caller whose key belongs to the workspace id.
func withWorkspace(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, workspaceKey{}, id)
}

// workspaceOf returns the id of the caller's workspace.
func workspaceOf(ctx context.Context) string { return ctx.Value(workspaceKey{}).(string) }

// parseID returns an export's id in lower case, or export.ErrNotFound if it is not a UUID in the
// form of 36 characters: no export has another id.
func parseID(id string) (string, error) {
	parsed, err := rowid.Parse(id)
	if err != nil {
		return "", export.ErrNotFound
	}
	return parsed.String(), nil
}

// find returns the export with this id in the caller's workspace, or export.ErrNotFound.
func (s *service) find(ctx context.Context, id string) (export.Export, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return s.exports.Get(ctx, workspaceOf(ctx), id)
}

// problem returns what the client is told about err. The log gets the cause of a 5xx answer, which
// the client is not told.
func (s *service) problem(ctx context.Context, err error) *Problem {
	var limit *export.LimitError
	switch {
	case errors.As(err, &limit):
		return limitProblem(limit)
	case errors.Is(err, export.ErrStoreFull):
		return newProblem(codeStorageFull)
	case errors.Is(err, export.ErrNotFound):
		return newProblem(codeExportNotFound)
	case errors.Is(err, export.ErrKeyReused):
		return newProblem(codeKeyReused)
	case ctx.Err() != nil:
		return newProblem(codeClientClosed)
	}
	s.log.ErrorContext(ctx, "a request failed", append(infoOf(ctx).attrs(), "error", err)...)
	if unavailable(err) {
		return newProblem(codeUnavailable)
	}
	return newProblem(codeInternal)
}

// unavailable reports whether err means that a service which this one depends on does not answer.
// Other errors mean that this service has a fault.
func unavailable(err error) bool {
	var postgresError *pq.Error
	var networkError *net.OpError
	var timeout interface{ Timeout() bool } // not net.Error, which even "no such file" implements
	switch {
	case errors.As(err, &postgresError):
		return slices.Contains([]pqerror.Class{pqerror.ClassConnectionException, pqerror.ClassInsufficientResources, pqerror.ClassOperatorIntervention}, postgresError.Code.Class())
	case errors.As(err, &networkError), errors.Is(err, driver.ErrBadConn), errors.Is(err, sql.ErrConnDone),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return true
	}
	return errors.As(err, &timeout) && timeout.Timeout()
}
