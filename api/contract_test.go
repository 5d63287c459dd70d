package api_test

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"memexport/api"
	"memexport/internal/service/format"
)

var document = sync.OnceValue(api.Document)

// checkDocumented compares an answer of an operation with the OpenAPI document: status, media type,
// headers and body.
func checkDocumented(t *testing.T, a answer) {
	t.Helper()
	op := documented(a.Request)
	if op == nil {
		return
	}
	response := op.Responses[strconv.Itoa(a.StatusCode)]
	if response == nil {
		t.Errorf("%s answers %d, which is not documented", op.OperationID, a.StatusCode)
		return
	}
	if name, ok := strings.CutPrefix(response.Ref, "#/components/responses/"); ok {
		response = document().Components.Responses[name]
	}
	for _, name := range []string{"Location", "Retry-After", "Link", "ETag", "Repr-Digest", "Content-Range", "Content-Disposition", "WWW-Authenticate", "Preference-Applied", "RateLimit", "RateLimit-Policy"} {
		if a.Header.Get(name) != "" && response.Headers[name] == nil {
			t.Errorf("%s answers %d with the header %s, which is not documented", op.OperationID, a.StatusCode, name)
		}
	}
	mediaType, _, _ := strings.Cut(a.Header.Get("Content-Type"), ";")
	if len(response.Content) == 0 {
		if len(a.body) > 0 {
			t.Errorf("%s answers %d with an undocumented body", op.OperationID, a.StatusCode)
		}
		return
	}
	if mediaType == "multipart/byteranges" { // for this type only the description in the document is checked, because client generators cannot use a schema for it
		return
	}
	content := response.Content[mediaType]
	if content == nil {
		t.Errorf("%s answers %d with the media type %q, which is not documented", op.OperationID, a.StatusCode, mediaType)
		return
	}
	if a.Request.Method == http.MethodHead || !strings.HasSuffix(mediaType, "json") || content.Schema.Ref == "" {
		return
	}
	var body any
	if err := json.Unmarshal(a.body, &body); err != nil {
		t.Errorf("%s answers %d with broken JSON: %v", op.OperationID, a.StatusCode, err)
		return
	}
	validate(t, op.OperationID, content.Schema, body)
}

func validate(t *testing.T, what string, schema *huma.Schema, body any) {
	t.Helper()
	var result huma.ValidateResult
	huma.Validate(document().Components.Schemas, schema, huma.NewPathBuffer(nil, 0), huma.ModeReadFromServer, body, &result)
	for _, err := range result.Errors {
		t.Errorf("%s: the body does not match its schema: %v", what, err)
	}
	// Compare the properties here, because Huma does not report properties that are missing in the schema.
	for schema.Ref != "" {
		schema = document().Components.Schemas.SchemaFromRef(schema.Ref)
	}
	if object, ok := body.(map[string]any); ok {
		for name := range object {
			if schema.Properties[name] == nil {
				t.Errorf("%s: the body has the property %s, which is not documented", what, name)
			}
		}
	}
}

// documented returns the operation in the OpenAPI document that matches a request, or nil.
func documented(r *http.Request) *huma.Operation {
	for template, item := range document().Paths {
		got, want := strings.Split(r.URL.Path, "/"), strings.Split(template, "/")
		matches := len(got) == len(want)
		for i := range want {
			matches = matches && (got[i] == want[i] || want[i] == "{id}")
		}
		if !matches {
			continue
		}
		switch r.Method {
		case http.MethodPost:
			return item.Post
		case http.MethodDelete:
			return item.Delete
		case http.MethodGet, http.MethodHead:
			return item.Get
		}
	}
	return nil
}

func TestEveryExampleMatchesItsSchema(t *testing.T) {
	check := func(where string, content map[string]*huma.MediaType) {
		for mediaType, media := range content {
			if media.Example == nil && len(media.Examples) == 0 {
				t.Errorf("%s has no example of %s", where, mediaType)
			}
			for name, example := range media.Examples {
				raw, err := json.Marshal(example.Value)
				if err != nil {
					t.Fatal(err)
				}
				var value any
				if err := json.Unmarshal(raw, &value); err != nil {
					t.Fatal(err)
				}
				validate(t, where+", example "+name, media.Schema, value)
			}
		}
	}
	for name, response := range document().Components.Responses {
		check(name, response.Content)
	}
	for path, item := range document().Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Delete} {
			if op == nil {
				continue
			}
			for status, response := range op.Responses {
				check(path+" "+status, response.Content)
			}
		}
	}
}

func TestTheDocumentUsesOnlyWhatGeneratorsUnderstand(t *testing.T) {
	raw, err := json.Marshal(document())
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := json.Unmarshal(raw, &tree); err != nil {
		t.Fatal(err)
	}
	var walk func(path string, node any)
	walk = func(path string, node any) {
		switch node := node.(type) {
		case []any:
			for i, child := range node {
				walk(path+"/"+strconv.Itoa(i), child)
			}
		case map[string]any:
			kind := node["type"]
			if types, ok := kind.([]any); ok {
				kind = types[0]
			}
			if kind == "integer" && (node["maximum"] == nil || node["minimum"] == nil) {
				t.Errorf("%s: an integer lacks a minimum or a maximum", path)
			}
			if node["additionalProperties"] == false {
				t.Errorf("%s: additional properties are forbidden", path)
			}
			for name, child := range node {
				if name != "example" && name != "value" {
					walk(path+"/"+name, child)
				}
			}
		}
	}
	walk("", tree)

	var ids []string
	for _, path := range []string{"/v1/exports", "/v1/exports/{id}", "/v1/exports/{id}/download"} {
		item := document().Paths[path]
		for _, op := range []*huma.Operation{item.Post, item.Get, item.Delete} {
			if op != nil {
				ids = append(ids, op.OperationID)
			}
		}
	}
	if want := []string{"createExport", "listExports", "getExport", "deleteExport", "downloadExport"}; !reflect.DeepEqual(ids, want) {
		t.Errorf("operation ids %v, want %v", ids, want)
	}
	if got := document().Paths["/v1/exports"].Post.Parameters[0].Schema.Default; got == nil || reflect.ValueOf(got).String() != format.All[0].Name {
		t.Errorf("the default format is documented as %v", got)
	}
}
