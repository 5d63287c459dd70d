package api

import (
	"cmp"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// headers are the response headers in the OpenAPI document. Operations refer to them by name.
var headers = map[string]*huma.Header{
	"Location":            textHeader("The path of the export.", "/v1/exports/"+exampleID),
	"FileLocation":        textHeader("The address of the file in the object store.", "https://bucket.s3.eu-west-1.amazonaws.com/exports/"+exampleID+"/file?X-Amz-Expires=900&X-Amz-Signature=..."),
	"Retry-After":         {Description: "In how many seconds to ask again.", Schema: integer(0, 3600), Example: 1},
	"RateLimit":           textHeader("The limit that was reached: nothing remains of it (r=0), and in how many seconds (t) to ask again. A field of draft-ietf-httpapi-ratelimit-headers.", `"unfinished-exports";r=0;t=10`),
	"RateLimit-Policy":    textHeader("How much the limit allows (q), in requests unless it says otherwise (qu), and in how many seconds (w) if it is a rate. A field of draft-ietf-httpapi-ratelimit-headers.", `"unfinished-exports";q=1000`),
	"Preference-Applied":  textHeader("The preference that was honoured (RFC 7240), with the number of seconds that counted.", "wait=30"),
	"Link":                textHeader("The first, previous, next and last page, as far as there are such (RFC 8288).", `</v1/exports?page=1&page_size=20>; rel="first", </v1/exports?page=2&page_size=20>; rel="next", </v1/exports?page=3&page_size=20>; rel="last"`),
	"Content-Disposition": textHeader("The name of the file.", `attachment; filename="memories-20260115-`+exampleID+`.csv"`),
	"Content-Length":      {Description: "How many bytes follow.", Schema: integer(0, 1<<53-1), Example: 482133},
	"Content-Range":       textHeader("Which bytes of the file these are (RFC 9110).", "bytes 0-1023/482133"),
	"Accept-Ranges":       textHeader("That a Range of bytes may be asked for.", "bytes"),
	"Content-Encoding":    textHeader("That the file is compressed: only if it is stored so, and the request accepts it.", "gzip"),
	"ETag":                textHeader("The strong validator of the file, for If-Range and If-None-Match.", `"`+exampleSHA256+`"`),
	"Last-Modified":       textHeader("When the export became READY.", "Thu, 15 Jan 2026 10:30:04 GMT"),
	"Repr-Digest":         textHeader("The SHA-256 of the whole file (RFC 9530).", "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"),
	"Cache-Control":       textHeader("That the file is for nobody else and must not be altered on the way.", "private, no-transform"),
	"WWW-Authenticate":    textHeader("How to authenticate.", `ApiKey realm="memexport", Bearer realm="memexport"`),
}

func textHeader(description, example string) *huma.Header {
	return &huma.Header{Description: description, Schema: &huma.Schema{Type: huma.TypeString}, Example: example}
}

// integer returns the schema of a whole number. It always has both bounds, because client generators need
// them.
func integer(low, high float64) *huma.Schema {
	return &huma.Schema{Type: huma.TypeInteger, Format: "int64", Minimum: &low, Maximum: &high}
}

// headerRefs returns references to the headers with these names.
func headerRefs(names ...string) map[string]*huma.Header {
	refs := map[string]*huma.Header{}
	for _, name := range names {
		refs[name] = &huma.Header{Ref: "#/components/headers/" + name}
	}
	return refs
}

// responseName returns the name of the shared response with a status, such as NotFound.
func responseName(status int) string {
	return strings.NewReplacer(" ", "", "-", "").Replace(http.StatusText(status))
}

// spellings maps the canonical form of header names in Go to the spelling in their standards.
var spellings = map[string]string{"Www-Authenticate": "WWW-Authenticate", "Ratelimit": "RateLimit", "Ratelimit-Policy": "RateLimit-Policy"}

// problemResponses returns the shared error responses: one for each status, with an example for each code
// that has this status.
func problemResponses(registry huma.Registry) map[string]*huma.Response {
	schema := registry.Schema(reflect.TypeFor[Problem](), true, "")
	responses := map[string]*huma.Response{}
	for _, k := range kinds {
		if k.undocumented {
			continue
		}
		name := responseName(k.status)
		response := responses[name]
		if response == nil {
			response = &huma.Response{
				Headers: map[string]*huma.Header{},
				Content: map[string]*huma.MediaType{"application/problem+json": {Schema: schema, Examples: map[string]*huma.Example{}}},
			}
			responses[name] = response
		}
		response.Description = strings.TrimSpace(response.Description + " " + k.code + ": " + k.detail)
		for header := range k.header {
			header = cmp.Or(spellings[header], header)
			response.Headers[header] = headerRefs(header)[header]
		}
		example := newProblem(k.code)
		if k.code == codeInvalidRequest {
			example.Errors = []ProblemDetail{{Location: "query.usr_id", Message: "unknown query parameter"}}
		}
		response.Content["application/problem+json"].Examples[k.code] = &huma.Example{Summary: k.detail, Value: example}
	}
	responses[responseName(416)].Headers = headerRefs("Content-Range")
	return responses
}
