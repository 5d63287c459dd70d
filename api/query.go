package api

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// refuseBadQuery refuses a request if a query parameter is unknown to the operation, empty, repeated, not
// valid UTF-8, or contains NUL. Huma would accept most of these requests and ignore the parameter. Then
// the export would lack a filter that the caller meant, and contain too many memories.
func refuseBadQuery(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		writeProblem(w, newProblem(codeInvalidRequest, ProblemDetail{Location: "query", Message: "the query string is malformed: every % must start an escape such as %2B, and parameters are separated by &"}))
		return
	}
	var details []ProblemDetail
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if message := mistake(ctx.Operation(), name, values[name]); message != "" {
			details = append(details, ProblemDetail{Location: "query." + printable(name), Message: message})
		}
	}
	if len(details) > 0 {
		writeProblem(w, newProblem(codeInvalidRequest, details...))
		return
	}
	next(ctx)
}

// mistake returns what is wrong with a query parameter, or "" if nothing is. It does not check the type of
// the value.
func mistake(op *huma.Operation, name string, values []string) string {
	i := slices.IndexFunc(op.Parameters, func(p *huma.Param) bool { return p.In == "query" && p.Name == name })
	if i < 0 {
		return "unknown query parameter"
	}
	if len(values) > 1 && op.Parameters[i].Schema.Type != huma.TypeArray {
		return "may be given once only"
	}
	for _, value := range values {
		switch {
		case value == "":
			return "must not be empty; leave the parameter out instead"
		case !utf8.ValidString(value):
			return "must be valid UTF-8"
		case strings.ContainsRune(value, 0):
			return "must not contain NUL characters"
		}
	}
	return ""
}

// printable returns the name of a parameter in a form that an answer may repeat: valid UTF-8 of at most 64
// characters.
func printable(name string) string {
	name = strings.ToValidUTF8(name, "\uFFFD")
	if runes := []rune(name); len(runes) > 64 {
		name = string(runes[:64]) + "..."
	}
	return name
}
