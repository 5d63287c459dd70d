package api

import (
	"cmp"
	"encoding/json"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"memexport/internal/service/format"
	"memexport/internal/service/memory"
)

// version is that of the API, not of the program: it changes with the contract.
const version = "1.0.0"

// Document describes the API. It needs no database and no server.
func Document() *huma.OpenAPI {
	return new(server).routes(http.NewServeMux()).OpenAPI()
}

func config() huma.Config {
	c := huma.DefaultConfig("Exports API", version)
	c.CreateHooks = nil                                   // no $schema in bodies, no describedBy links
	c.OpenAPIPath, c.SchemasPath, c.DocsPath = "", "", "" // the generated files are served instead
	c.Info.Description = `Download the memories of a workspace in bulk, as JSON, CSV or Markdown.

An export is made asynchronously: create it, poll it until its status is READY (or let the server wait for you with the header ` + "`Prefer: wait=30`" + `), then download its file. The file stays available for 72 hours after that.

Every request needs an API key in the header ` + "`X-Api-Key`" + `. A key belongs to one workspace and sees nothing of any other.

Whatever is refused or fails is answered with problem details (RFC 9457), whose field ` + "`code`" + ` is stable. Fields and codes may be added, so clients should ignore those that they do not know. Every answer carries an ` + "`X-Request-Id`" + `, which finds it again in the logs of the service.`
	c.Servers = []*huma.Server{{URL: "/", Description: "The server that this document comes from."}}
	c.Tags = []*huma.Tag{{Name: "Exports", Description: "Bulk downloads of a workspace's memories."}}
	c.Components.Schemas = newRegistry()
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"apiKey": {
		Type: "apiKey", In: "header", Name: keyHeader, Description: "The key of a workspace, such as msk_live_... or msk_test_...",
	}}
	c.Security = []map[string][]string{{"apiKey": {}}}
	c.Components.Headers = headers
	c.Components.Responses = problemResponses(c.Components.Schemas)
	c.OnAddOperation = append(c.OnAddOperation, func(_ *huma.OpenAPI, op *huma.Operation) {
		for name, s := range c.Components.Schemas.Map() {
			s.AdditionalProperties = nil // a closed schema would break strict clients when a field is added
			s.Description = cmp.Or(s.Description, schemaDescriptions[name])
		}
		for _, p := range op.Parameters {
			if len(p.Schema.Examples) > 0 {
				p.Example = p.Schema.Examples[0]
			}
			p.Schema.Description, p.Schema.Examples = "", nil // said once, where every tool shows it
		}
	})
	return c
}

// schemaDescriptions are those of objects; enums bring their own.
var schemaDescriptions = map[string]string{
	"Export":        "An export job: what was asked for, and what has become of it. The fields of filters are null where nothing is filtered.",
	"ExportError":   "Why an export failed.",
	"ExportList":    "A page of exports.",
	"ListMeta":      "Where a page is in the whole list.",
	"Problem":       "A refusal or failure as problem details (RFC 9457). Programs decide by its code.",
	"ProblemDetail": "One thing that is wrong with a request. It never repeats the value, which may be personal data.",
}

// headers are those of answers; operations refer to them by name.
var headers = map[string]*huma.Header{
	"Location":            text("The path of the export.", "/v1/exports/"+exampleID),
	"FileLocation":        text("The address of the file in the object store.", "https://bucket.s3.eu-west-1.amazonaws.com/exports/"+exampleID+"/file?X-Amz-Expires=900&X-Amz-Signature=..."),
	"Retry-After":         {Description: "In how many seconds to ask again.", Schema: integer(0, 3600), Example: 1},
	"Preference-Applied":  text("The preference that was honoured (RFC 7240), with the number of seconds that counted.", "wait=30"),
	"Link":                text("The first, previous, next and last page, as far as there are such (RFC 8288).", `</v1/exports?page=1&page_size=20>; rel="first", </v1/exports?page=2&page_size=20>; rel="next", </v1/exports?page=3&page_size=20>; rel="last"`),
	"Content-Disposition": text("The name of the file.", `attachment; filename="memories-20260115-`+exampleID+`.csv"`),
	"Content-Length":      {Description: "How many bytes follow.", Schema: integer(0, 1<<53-1), Example: 482133},
	"Content-Range":       text("Which bytes of the file these are (RFC 9110).", "bytes 0-1023/482133"),
	"Accept-Ranges":       text("That a Range of bytes may be asked for.", "bytes"),
	"Content-Encoding":    text("That the file is compressed: only if it is stored so, and the request accepts it.", "gzip"),
	"ETag":                text("The strong validator of the file, for If-Range and If-None-Match.", `"`+exampleSHA256+`"`),
	"Last-Modified":       text("When the export became READY.", "Thu, 15 Jan 2026 10:30:04 GMT"),
	"Repr-Digest":         text("The SHA-256 of the whole file (RFC 9530).", "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"),
	"Cache-Control":       text("That the file is for nobody else and must not be altered on the way.", "private, no-transform"),
	"WWW-Authenticate":    text("How to authenticate.", `ApiKey realm="memexport"`),
}

func text(description, example string) *huma.Header {
	return &huma.Header{Description: description, Schema: &huma.Schema{Type: huma.TypeString}, Example: example}
}

func integer(low, high float64) *huma.Schema {
	return &huma.Schema{Type: huma.TypeInteger, Format: "int64", Minimum: &low, Maximum: &high}
}

func headerRefs(names ...string) map[string]*huma.Header {
	refs := map[string]*huma.Header{}
	for _, name := range names {
		refs[name] = &huma.Header{Ref: "#/components/headers/" + name}
	}
	return refs
}

// responseName is the name of the shared response of a status, such as NotFound.
func responseName(status int) string {
	return strings.NewReplacer(" ", "", "-", "").Replace(http.StatusText(status))
}

// problemResponses are the shared responses: one a status, with an example for every code.
func problemResponses(registry huma.Registry) map[string]*huma.Response {
	schema := registry.Schema(reflect.TypeFor[Problem](), true, "")
	responses := map[string]*huma.Response{}
	for _, k := range kinds {
		if k.elsewhere {
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
			if header == "Www-Authenticate" {
				header = "WWW-Authenticate"
			}
			response.Headers[header] = headerRefs(header)[header]
		}
		example := newProblem(k.code)
		if k.code == codeInvalidRequest {
			example.Errors = []ProblemDetail{{"query.usr_id", "unknown query parameter"}}
		}
		response.Content["application/problem+json"].Examples[k.code] = &huma.Example{Summary: k.detail, Value: example}
	}
	responses[responseName(416)].Headers = headerRefs("Content-Range")
	return responses
}

// refuses adds references to the shared responses of statuses.
func refuses(op *huma.Operation, statuses ...int) {
	for _, status := range statuses {
		op.Responses[strconv.Itoa(status)] = &huma.Response{Ref: "#/components/responses/" + responseName(status)}
	}
}

// fileContent is what a download can be, by media type.
func fileContent() map[string]*huma.MediaType {
	m := memory.Memory{
		ID: []byte("0198b9d1-52e7-7a31-8c44-6f0d2b9e1a57"), Text: []byte("Prefers tea to coffee."), UserID: []byte("user-123"),
		Priority: []byte("MEDIUM"), Status: []byte("COMPLETED"), Categories: []byte(`["preferences"]`), Metadata: []byte(`{"source":"chat"}`),
		WorkspaceID: []byte("6b1f3c0e-2d5a-4f7b-9e8c-1a2b3c4d5e6f"), AccessCount: 3,
		CreatedAt: memory.TimeOf(pendingExample().CreatedAt), UpdatedAt: memory.TimeOf(pendingExample().CreatedAt),
	}
	content := map[string]*huma.MediaType{}
	for _, f := range format.All {
		file := f.Prefix + string(f.Append(nil, &m)) + f.Suffix
		mediaType, _, _ := strings.Cut(f.ContentType, ";")
		content[mediaType] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}, Example: file}
		if mediaType == "application/json" {
			// Any JSON: a client is not to be made to parse gigabytes into objects.
			content[mediaType] = &huma.MediaType{Schema: &huma.Schema{}, Example: json.RawMessage(file)}
		}
	}
	return content
}
