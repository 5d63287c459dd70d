package api

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"memexport/internal/service/apikey"
	"memexport/internal/service/metrics"
	"memexport/internal/service/token"
)

// caller identifies the sender of a request.
type caller struct {
	workspaceID string
	keyID       string // the id of the API key, or the caller's id from the token; limits for each key use this id
	permissions []apikey.Permission
}

// authenticate lets a request pass if it has exactly one credential, and this credential is valid.
func (s *service) authenticate(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	sent, problem := credentialOf(r.Header)
	if problem != nil {
		writeProblem(w, problem)
		return
	}
	address, info := clientAddress(r, s.trustedProxies), infoOf(r.Context())
	if address.IsValid() {
		info.address = address.String()
	}
	wait, done := s.failures.try(address, sent.secret, time.Now())
	if wait > 0 {
		metrics.LimitsHit.Add(r.Context(), 1, metrics.LimitFailures)
		writeProblem(w, newProblem(codeTooManyFailures).with("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds())))))
		return
	}
	sender, problem := s.identify(r.Context(), sent)
	done(resultOf(problem))
	if problem != nil {
		writeProblem(w, problem)
		return
	}
	info.workspaceID, info.keyID = sender.workspaceID, sender.keyID
	next(huma.WithContext(ctx, withCaller(r.Context(), sender)))
}

// authorize lets a request of an authenticated caller pass if the caller has the permission that the
// operation needs.
func (s *service) authorize(ctx huma.Context, next func(huma.Context)) {
	permission := ctx.Operation().Metadata[permissionMetadata].(apikey.Permission)
	if !slices.Contains(callerOf(ctx.Context()).permissions, permission) {
		p := newProblem(codePermissionDenied)
		p.Detail = fmt.Sprintf("The key or token lacks the permission %s.", permission)
		_, w := humago.Unwrap(ctx)
		writeProblem(w, p)
		return
	}
	next(ctx)
}

// resultOf returns the result of an attempt to authenticate. p is the problem that identify returned, or
// nil.
func resultOf(p *Problem) result {
	switch {
	case p == nil || p.Code == codePermissionDenied:
		return right
	case p.Code == codeUnauthorized:
		return wrong
	case p.Code == codeClientClosed:
		return abandoned
	}
	return undecided
}

// identify returns the caller to whom a credential belongs.
func (s *service) identify(ctx context.Context, sent credential) (caller, *Problem) {
	limited, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if s.tokens != nil && sent.bearer && token.Looks(sent.secret) {
		verified, err := s.tokens.Verify(limited, sent.secret)
		if err != nil {
			return caller{}, s.tokenProblem(ctx, err)
		}
		return caller{workspaceID: verified.WorkspaceID, keyID: verified.CallerID, permissions: verified.Permissions}, nil
	}
	key, err := s.keys.Lookup(limited, sent.secret)
	if errors.Is(err, apikey.ErrUnknown) {
		return caller{}, newProblem(codeUnauthorized)
	}
	if err != nil {
		return caller{}, s.problem(ctx, err)
	}
	return caller{workspaceID: key.WorkspaceID, keyID: key.ID, permissions: key.Permissions}, nil
}

// tokenProblem turns an error of token.Verifier.Verify into the problem to answer with.
func (s *service) tokenProblem(ctx context.Context, err error) *Problem {
	var invalid *token.Invalid
	var noWorkspace *token.NoWorkspace
	switch {
	case errors.As(err, &invalid):
		p := newProblem(codeUnauthorized)
		p.Detail = "The token is not accepted: " + invalid.Reason + "."
		p.header["Www-Authenticate"][1] += `, error="invalid_token"` // required by RFC 6750, section 3.1
		return p
	case errors.As(err, &noWorkspace):
		p := newProblem(codePermissionDenied)
		p.Detail = fmt.Sprintf("The token is valid, but has no claim %s with the UUID of a workspace.", noWorkspace.Claim)
		return p
	}
	return s.problem(ctx, err)
}
