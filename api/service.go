package api

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"memexport/internal/service/apikey"
	"memexport/internal/service/archive"
	"memexport/internal/service/audit"
	"memexport/internal/service/export"
	"memexport/internal/service/metrics"
	"memexport/internal/service/rowid"
	"memexport/internal/service/token"
	"memexport/workflows"
)

const (
	// storeTimeout limits each call from a handler to Postgres. If the database does not answer, the
	// client should get a 503 soon instead of waiting longer.
	storeTimeout = 10 * time.Second
	// temporalTimeout is short because no answer depends on the result of the call: if the call fails, the
	// reconciler repeats it later.
	temporalTimeout = 2 * time.Second
)

// service contains what the handlers need.
type service struct {
	exports *export.Store
	keys    *apikey.Store
	archive *archive.Archive
	starter *workflows.Starter
	audit   *audit.Store // if nil, audit events are only logged
	reads   reads

	watchers  *watchers
	rates     *rates
	longPolls *slots
	downloads *slots
	files     sharedFiles
	failures  *failures

	redirect       bool
	ready          func(context.Context) error
	tokens         *token.Verifier // if nil, only API keys are accepted
	trustedProxies []netip.Prefix
	log            *slog.Logger
}

type callerKey struct{}

// withCaller returns a context that holds the caller.
func withCaller(ctx context.Context, c caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

func callerOf(ctx context.Context) caller { return ctx.Value(callerKey{}).(caller) }

// workspaceOf returns the id of the caller's workspace.
func workspaceOf(ctx context.Context) string { return callerOf(ctx).workspaceID }

// parseID returns the id of an export in lower case. It returns export.ErrNotFound if id is not a UUID of
// 36 characters, because every export has such an id.
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

// problem turns err into the problem to answer with. If err is not one of the expected errors, problem
// also logs err, because the answer does not contain the cause.
func (s *service) problem(ctx context.Context, err error) *Problem {
	var limit *export.LimitError
	switch {
	case errors.As(err, &limit):
		metrics.LimitsHit.Add(ctx, 1, string(limit.Limit))
		return limitProblem(limit)
	case errors.Is(err, export.ErrStoreFull):
		metrics.LimitsHit.Add(ctx, 1, metrics.LimitStoreFull)
		return newProblem(codeStorageFull)
	case errors.Is(err, export.ErrNotFound):
		return newProblem(codeExportNotFound)
	case errors.Is(err, export.ErrCreatorGone):
		return newProblem(codeUnauthorized)
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

// unavailable reports whether err means that a service which this process depends on does not answer, or that the
// database is read-only. Other errors mean a fault in this process itself.
func unavailable(err error) bool {
	var postgresError *pq.Error
	switch {
	case errors.As(err, &postgresError):
		return postgresError.Code == pqerror.ReadOnlySQLTransaction || slices.Contains([]pqerror.Class{pqerror.ClassConnectionException, pqerror.ClassInsufficientResources, pqerror.ClassOperatorIntervention}, postgresError.Code.Class())
	case errors.Is(err, driver.ErrBadConn), errors.Is(err, sql.ErrConnDone), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, token.ErrUnavailable):
		return true
	}
	return archive.Away(err) || archive.Denied(err) // Away knows the errors of every network connection and every timeout
}
