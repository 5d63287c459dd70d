package api

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"memexport/internal/service/export"
)

// The codes of problems. They are part of the API and never change their meaning.
const (
	codeInvalidRequest      = "INVALID_REQUEST"
	codeKeyReused           = "IDEMPOTENCY_KEY_REUSED"
	codeUnauthorized        = "UNAUTHORIZED"
	codeTooManyFailures     = "TOO_MANY_FAILURES"
	codePermissionDenied    = "PERMISSION_DENIED"
	codeRateLimited         = "RATE_LIMITED"
	codeExportNotFound      = "EXPORT_NOT_FOUND"
	codeExportNotReady      = "EXPORT_NOT_READY"
	codeExportFailed        = "EXPORT_FAILED"
	codeExportExpired       = "EXPORT_EXPIRED"
	codeExportFileLost      = "EXPORT_FILE_LOST"
	codePreconditionFailed  = "PRECONDITION_FAILED"
	codeRangeNotSatisfiable = "RANGE_NOT_SATISFIABLE"
	codeURITooLong          = "URI_TOO_LONG"
	codeHeadersTooLarge     = "HEADERS_TOO_LARGE"
	codeMalformed           = "MALFORMED_REQUEST"
	codeExportLimit         = "EXPORT_LIMIT_REACHED"
	codeStorageLimit        = "STORAGE_LIMIT_REACHED"
	codeStorageFull         = "STORAGE_FULL"
	codeNotFound            = "NOT_FOUND"
	codeMethodNotAllowed    = "METHOD_NOT_ALLOWED"
	codeInternal            = "INTERNAL"
	codeUnavailable         = "UNAVAILABLE"
	codeClientClosed        = "CLIENT_CLOSED_REQUEST"
)

// statusClientClosed is the status of a request whose client has gone away, as in nginx.
const statusClientClosed = 499

// kind describes all problems with one code.
type kind struct {
	code   string
	status int
	detail string
	// undocumented marks problems that no operation answers with. The OpenAPI document lists their codes
	// but contains no responses for them.
	undocumented bool
	header       http.Header
}

// kinds lists every kind of problem. This is the only place that maps codes to HTTP statuses.
var kinds = []kind{
	{code: codeInvalidRequest, status: 422, detail: "The request was refused. See errors for what is wrong where."},
	{code: codeKeyReused, status: 422, detail: "This Idempotency-Key was used before for an export with other parameters."},
	{code: codeUnauthorized, status: 401, detail: "The request needs a valid key, in the header X-Api-Key or as Authorization: Bearer. The key is missing, or it is unknown, expired or revoked.",
		header: http.Header{"Www-Authenticate": {`ApiKey realm="memexport"`, `Bearer realm="memexport"`}}},
	{code: codeTooManyFailures, status: 429, detail: "Too many requests from this address had no valid key. Wait for as many seconds as Retry-After says, and send a valid key.",
		header: http.Header{"Retry-After": {"1"}}},
	{code: codePermissionDenied, status: 403, detail: "The key or token lacks the permission that this operation needs."},
	{code: codeExportNotFound, status: 404, detail: "There is no such export."},
	{code: codeExportNotReady, status: 409, detail: "The export is still processing. Poll it until its status is READY.",
		header: http.Header{"Retry-After": {"1"}}},
	{code: codeExportFailed, status: 409, detail: "The export failed and has no file. The field error of the export says why."},
	{code: codeExportExpired, status: 410, detail: "The export has expired and the file is no longer available. Create a new export."},
	// The status is 410 and not 503, because a retry does not help: a lost file does not come back by itself,
	// so the client needs a new export.
	{code: codeExportFileLost, status: 410, detail: "The file of the export is missing from the object store or damaged, although the export has not expired. Create a new export, with another Idempotency-Key."},
	{code: codePreconditionFailed, status: 412, detail: "The file is not the one that If-Match or If-Unmodified-Since asks for."},
	{code: codeRangeNotSatisfiable, status: 416, detail: "The file has no bytes in the range that was asked for."},
	{code: codeURITooLong, status: 414, detail: "The URL is longer than 16384 bytes."},
	{code: codeHeadersTooLarge, status: 431, detail: "The URL and the headers are longer than the server reads. A URL may have 16384 bytes.", undocumented: true},
	{code: codeMalformed, status: 400, detail: "The request is not valid HTTP.", undocumented: true},
	{code: codeNotFound, status: 404, detail: "There is nothing at this path.", undocumented: true},
	{code: codeMethodNotAllowed, status: 405, detail: "This path does not support the method. The header Allow says which it does.", undocumented: true},
	{code: codeRateLimited, status: 429, detail: "The API key makes too many requests. Wait for as many seconds as Retry-After says.",
		header: http.Header{"Retry-After": {"1"}, "Ratelimit": {`"requests";r=0;t=1`}, "Ratelimit-Policy": nil}},
	// The client may try again after 10 seconds, because another export of the workspace may soon end.
	{code: codeExportLimit, status: 429, detail: "The workspace has as many unfinished exports as it may have. Wait until some of them have finished, or delete those that are not needed.",
		header: limitHeader(export.LimitUnfinished, "10")},
	// The client should wait a minute, because space becomes free only when an export expires or the owner
	// deletes one.
	{code: codeStorageLimit, status: 429, detail: "The exports of the workspace take as much space as they may. Delete exports that are not needed, or wait until they expire.",
		header: limitHeader(export.LimitStored, "60")},
	{code: codeInternal, status: 500, detail: "Something went wrong on the server; the cause has been logged."},
	{code: codeUnavailable, status: 503, detail: "The service is unavailable at the moment. Try again later.",
		header: http.Header{"Retry-After": {"5"}}},
	// The client should wait a minute. While the store is full, workers wait up to a minute before they try
	// to write again. So it may take them a minute to notice that there is room.
	{code: codeStorageFull, status: 503, detail: "The service has no room for new exports at the moment. Try again later.",
		header: http.Header{"Retry-After": {"60"}}},
	// The client has gone away and reads no answer. The status is only for the access log.
	{code: codeClientClosed, status: statusClientClosed, detail: "The client went away.", undocumented: true},
}

// Problem is the body of an answer that refuses a request or reports a failure (RFC 9457).
type Problem struct {
	Type   string          `json:"type" format:"uri-reference" doc:"Always about:blank: the code says which problem it is."`
	Title  string          `json:"title" doc:"The HTTP status in words."`
	Status int             `json:"status" format:"int32" minimum:"400" maximum:"599" doc:"The HTTP status."`
	Detail string          `json:"detail" doc:"What happened, for people. Its wording may change."`
	Code   string          `json:"code" doc:"What happened, for programs. Codes never change their meaning; new ones may be added."`
	Errors []ProblemDetail `json:"errors,omitempty" doc:"What is wrong with the request, one by one."`

	header http.Header
}

// ProblemDetail is one error in a request. It never repeats the value that the client sent, which may be
// personal data.
type ProblemDetail struct {
	Location string `json:"location" doc:"Where it is wrong: query.NAME, query.NAME[INDEX] for one of several values (the first has the index 0), query for the query as a whole or parameters that do not fit together, header.NAME, or body."`
	Message  string `json:"message" doc:"What is wrong, for people. Its wording may change."`
}

// newProblem returns a problem of the kind with this code. kinds must contain the code.
func newProblem(code string, details ...ProblemDetail) *Problem {
	k := kinds[slices.IndexFunc(kinds, func(k kind) bool { return k.code == code })]
	return &Problem{
		Type: "about:blank", Title: cmp.Or(http.StatusText(k.status), "Client Closed Request"), Status: k.status,
		Detail: k.detail, Code: k.code, Errors: details, header: k.header.Clone(),
	}
}

// with sets a header of the answer and returns p.
func (p *Problem) with(header, value string) *Problem {
	if p.header == nil {
		p.header = http.Header{}
	}
	p.header.Set(header, value)
	return p
}

// Huma calls these methods when a handler returns a Problem as its error.
func (p *Problem) Error() string             { return p.Detail }
func (p *Problem) GetStatus() int            { return p.Status }
func (p *Problem) GetHeaders() http.Header   { return p.header }
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// TransformSchema lists the error codes in an extension of the schema, not in an enum. With an enum,
// clients would refuse codes that are added later.
func (*Problem) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	var codes []string
	for _, k := range kinds {
		if k.code != codeClientClosed {
			codes = append(codes, k.code)
		}
	}
	s.Properties["code"].Extensions = map[string]any{"x-extensible-enum": codes}
	return s
}

// writeProblem answers with p.
func writeProblem(w http.ResponseWriter, p *Problem) {
	for name, values := range p.header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", p.ContentType(""))
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(p) // an error only means that the client has gone away
}

// Huma reads these two settings from global variables, so they are set once for the whole process.
func init() {
	huma.DefaultArrayNullable = false
	huma.NewError = func(status int, _ string, errs ...error) huma.StatusError {
		code := codeInternal
		if i := slices.IndexFunc(kinds, func(k kind) bool { return k.status == status }); i >= 0 {
			code = kinds[i].code
		}
		p := newProblem(code)
		for _, err := range errs {
			var detailer huma.ErrorDetailer
			if errors.As(err, &detailer) && p.Status < 500 {
				d := detailer.ErrorDetail()
				p.Errors = append(p.Errors, ProblemDetail{Location: d.Location, Message: d.Message})
			}
		}
		return p
	}
}
