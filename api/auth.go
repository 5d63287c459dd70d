package api

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"memexport/internal/service/apikey"
)

// authenticate lets a request pass if it has exactly one credential, which is valid and has the
// permission of the operation.
func (s *service) authenticate(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	sent, problem := credentialOf(r.Header)
	if problem != nil {
		writeProblem(w, problem)
		return
	}
	wait, done := s.failures.try(clientAddress(r, s.trustedProxies), sent.secret, time.Now())
	if wait > 0 {
		writeProblem(w, newProblem(codeTooManyFailures).with("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds())))))
		return
	}
	lookup, cancel := context.WithTimeout(r.Context(), storeTimeout)
	defer cancel()
	key, err := s.keys.Lookup(lookup, sent.secret)
	switch {
	case errors.Is(err, apikey.ErrUnknown):
		done(wrong)
		writeProblem(w, newProblem(codeUnauthorized))
		return
	case err != nil:
		done(undecided)
		writeProblem(w, s.problem(r.Context(), err))
		return
	}
	done(right)
	info := infoOf(r.Context())
	info.workspaceID, info.keyID = key.WorkspaceID, key.ID
	permission := ctx.Operation().Metadata[permissionMetadata].(apikey.Permission)
	if !key.Allows(permission) {
		p := newProblem(codePermissionDenied)
		p.Detail = fmt.Sprintf("The API key lacks the permission %s.", permission)
		writeProblem(w, p)
		return
	}
	next(huma.WithContext(ctx, withWorkspace(r.Context(), key.WorkspaceID)))
}
