package api

import (
	"context"
	"errors"
	"fmt"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"memexport/internal/service/apikey"
)

const (
	keyHeader = "X-Api-Key"
	// permissionMetadata is where an operation keeps the permission that it needs.
	permissionMetadata = "permission"
)

type workspaceKey struct{}

// workspace is the one that the caller's key belongs to.
func workspace(ctx context.Context) string { return ctx.Value(workspaceKey{}).(string) }

// authenticate lets a request pass whose key exists and has the operation's permission.
func (s *server) authenticate(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	w.Header().Set("Cache-Control", "no-store") // the download sets its own
	r.Header.Del("Accept")                      // there is one representation of everything: nothing to negotiate
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
	requestOf(r.Context()).workspace = key.WorkspaceID
	permission := ctx.Operation().Metadata[permissionMetadata].(apikey.Permission)
	if !key.Allows(permission) {
		p := newProblem(codePermissionDenied)
		p.Detail = fmt.Sprintf("The API key lacks the permission %s.", permission)
		writeProblem(w, p)
		return
	}
	next(huma.WithValue(ctx, workspaceKey{}, key.WorkspaceID))
}
