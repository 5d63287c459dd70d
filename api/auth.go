package api

import (
	"context"
	"errors"
	"fmt"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"memexport/internal/service/apikey"
)

const keyHeader = "X-Api-Key"

// authenticate lets a request pass if it has exactly one API key, the key exists, and it has the
// permission of the operation.
func (s *service) authenticate(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	secrets := r.Header.Values(keyHeader)
	if len(secrets) != 1 || secrets[0] == "" {
		writeProblem(w, newProblem(codeUnauthorized))
		return
	}
	lookup, cancel := context.WithTimeout(r.Context(), storeTimeout)
	defer cancel()
	key, err := s.keys.Lookup(lookup, secrets[0])
	if errors.Is(err, apikey.ErrUnknown) {
		writeProblem(w, newProblem(codeUnauthorized))
		return
	}
	if err != nil {
		writeProblem(w, s.problem(r.Context(), err))
		return
	}
	info := infoOf(r.Context())
	info.workspaceID, info.keyID = key.WorkspaceID, key.ID
	info.address = peerAddress(r)
	permission := ctx.Operation().Metadata[permissionMetadata].(apikey.Permission)
	if !key.Allows(permission) {
		p := newProblem(codePermissionDenied)
		p.Detail = fmt.Sprintf("The API key lacks the permission %s.", permission)
		writeProblem(w, p)
		return
	}
	next(huma.WithContext(ctx, withWorkspace(r.Context(), key.WorkspaceID)))
}
