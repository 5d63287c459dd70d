package api

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// refuseBadQuery refuses what Huma would overlook, and what would widen an export by accident: a
// query parameter that the operation does not have, that is empty, repeated, or no clean text.
func refuseBadQuery(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		writeProblem(w, newProblem(codeInvalidRequest, ProblemDetail{"query",
			"the query string is malformed: every % must start an escape such as %2B, and parameters are separated by &"}))
		return
	}
	var details []ProblemDetail
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if message := mistake(ctx.Operation(), name, values[name]); message != "" {
			details = append(details, ProblemDetail{"query." + printable(name), message})
		}
	}
	if len(details) > 0 {
		writeProblem(w, newProblem(codeInvalidRequest, details...))
		return
	}
	next(ctx)
}

// mistake is what is wrong with a query parameter whatever it means, or "".
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

// printable makes a parameter's name fit to be repeated.
func printable(name string) string {
	name = strings.ToValidUTF8(name, "\uFFFD")
	if runes := []rune(name); len(runes) > 64 {
		name = string(runes[:64]) + "..."
	}
	return name
}

const (
	maxBody     = 64 << 10
	bodyTimeout = 10 * time.Second
)

// refuseBody refuses a body that has anything in it: filters in there would not be seen.
func refuseBody(ctx huma.Context) error {
	r, _ := humago.Unwrap(ctx)
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	_ = ctx.SetReadDeadline(time.Now().Add(bodyTimeout)) // not every connection has one
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	_ = ctx.SetReadDeadline(time.Time{})
	var object map[string]any
	switch {
	case err != nil:
		return &huma.ErrorDetail{Location: "body", Message: "the body could not be read"}
	case len(body) == 0:
		return nil
	case len(body) <= maxBody && json.Unmarshal(body, &object) == nil && object != nil && len(object) == 0:
		return nil
	}
	return &huma.ErrorDetail{Location: "body", Message: "the body must be empty or {}: the parameters go into the query string"}
}
