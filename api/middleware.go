package api

import (
	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// forbidCaching tells caches not to store answers, because each answer belongs to one workspace. The
// handler for downloads replaces this header.
func forbidCaching(ctx huma.Context, next func(huma.Context)) {
	ctx.SetHeader("Cache-Control", "no-store")
	next(ctx)
}

// ignoreAccept removes the Accept header, which a server may ignore (RFC 9110, section 12.5.1). Every
// resource has only one representation, so there is nothing to negotiate. Huma would negotiate
// nevertheless: for example, it answers "Accept: json" with "Content-Type: json".
func ignoreAccept(ctx huma.Context, next func(huma.Context)) {
	r, _ := humago.Unwrap(ctx)
	r.Header.Del("Accept")
	next(ctx)
}
