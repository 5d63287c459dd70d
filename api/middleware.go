package api

import (
	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// forbidCaching keeps answers out of caches, since they belong to one workspace. A download replaces
// the header with its own.
func forbidCaching(ctx huma.Context, next func(huma.Context)) {
	ctx.SetHeader("Cache-Control", "no-store")
	next(ctx)
}

// ignoreAccept removes the Accept header, which a server may disregard (RFC 9110, section 12.5.1).
// Everything has one representation, so there is nothing to negotiate, but Huma would try: it answers
// "Accept: json" with "Content-Type: json", for example.
func ignoreAccept(ctx huma.Context, next func(huma.Context)) {
	r, _ := humago.Unwrap(ctx)
	r.Header.Del("Accept")
	next(ctx)
}
