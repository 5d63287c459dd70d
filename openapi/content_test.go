package openapi_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"memexport/openapi"
)

// documents returns the documents of both versions as parsed JSON, by file name.
func documents(t *testing.T) map[string]map[string]any {
	t.Helper()
	read := map[string]map[string]any{}
	for name, text := range map[string][]byte{"openapi.json": openapi.JSON, "openapi-3.0.json": openapi.JSON30} {
		var document map[string]any
		if err := json.Unmarshal(text, &document); err != nil {
			t.Fatal(err)
		}
		read[name] = document
	}
	return read
}

// at returns the value at a path of names, or nil.
func at(node any, path ...string) any {
	for _, name := range path {
		object, _ := node.(map[string]any)
		node = object[name]
	}
	return node
}

// object returns the object at a path of names, or nil.
func object(node any, path ...string) map[string]any {
	found, _ := at(node, path...).(map[string]any)
	return found
}

func TestEveryOperationIsDescribed(t *testing.T) {
	for name, document := range documents(t) {
		ids := map[any]bool{}
		for path, methods := range object(document, "paths") {
			for method := range methods.(map[string]any) {
				op := object(methods, method)
				where := name + ": " + method + " " + path
				if id := op["operationId"]; id == nil || ids[id] {
					t.Errorf("%s has no operationId of its own: %v", where, id)
				}
				ids[op["operationId"]] = true
				for _, field := range []string{"summary", "description", "tags"} {
					if op[field] == nil {
						t.Errorf("%s has no %s", where, field)
					}
				}
				for _, p := range op["parameters"].([]any) {
					if at(p, "description") == nil || at(p, "schema") == nil {
						t.Errorf("%s does not describe its parameter %v", where, at(p, "name"))
					}
				}
				for status := range object(op, "responses") {
					checkResponse(t, where, status, document, object(op, "responses", status))
				}
			}
		}
		if len(ids) != 5 {
			t.Errorf("%s has %d operations, want 5", name, len(ids))
		}
	}
}

// checkResponse checks that a response has an example of each media type, and that an error response is a
// reference to a shared response.
func checkResponse(t *testing.T, where, status string, document, response map[string]any) {
	t.Helper()
	where += ": " + status
	if ref, ok := response["$ref"].(string); ok {
		response = object(document, "components", "responses", strings.TrimPrefix(ref, "#/components/responses/"))
	} else if status >= "400" {
		t.Errorf("%s is not a shared response", where)
	}
	if response["description"] == nil {
		t.Errorf("%s has no description", where)
	}
	if content := object(response, "content"); (len(content) == 0) != (status == "204" || status == "302" || status == "304") {
		t.Errorf("%s has the media types %v", where, slices.Sorted(maps.Keys(content)))
	}
	for mediaType := range object(response, "content") {
		content := object(response, "content", mediaType)
		if content["example"] == nil && len(object(content, "examples")) == 0 {
			t.Errorf("%s: %s has no example", where, mediaType)
		}
		if (mediaType == "application/problem+json") != (status >= "400") {
			t.Errorf("%s is %s", where, mediaType)
		}
		if ref := at(content, "schema", "$ref"); status >= "400" && ref != schemaPrefix+"Problem" {
			t.Errorf("%s has the schema %v", where, ref)
		}
		for code := range object(content, "examples") {
			if status >= "400" && at(content, "examples", code, "value", "code") != code {
				t.Errorf("%s: the example %s is of another code", where, code)
			}
		}
	}
}

func TestEveryCodeOfAProblemHasAnExample(t *testing.T) {
	// No operation returns these codes, because such a request is refused before its operation is known.
	undocumented := []string{"HEADERS_TOO_LARGE", "MALFORMED_REQUEST", "METHOD_NOT_ALLOWED", "NOT_FOUND"}
	for name, document := range documents(t) {
		shown := map[string]bool{}
		for _, response := range object(document, "components", "responses") {
			for code := range object(response, "content", "application/problem+json", "examples") {
				shown[code] = true
			}
		}
		codes, _ := at(document, "components", "schemas", "Problem", "properties", "code", "x-extensible-enum").([]any)
		if len(codes) < 10 {
			t.Errorf("%s lists %d codes", name, len(codes))
		}
		for _, code := range codes {
			if shown[code.(string)] == slices.Contains(undocumented, code.(string)) {
				t.Errorf("%s: an example of %v: %t", name, code, shown[code.(string)])
			}
		}
	}
}

func TestASchemaIsDescribedAndOpenToNewFields(t *testing.T) {
	for name, document := range documents(t) {
		for schemaName := range object(document, "components", "schemas") {
			schema := object(document, "components", "schemas", schemaName)
			if schema["description"] == nil {
				t.Errorf("%s does not describe %s", name, schemaName)
			}
			if _, closed := schema["additionalProperties"]; closed {
				t.Errorf("%s limits the fields of %s, so that strict clients break on a new one", name, schemaName)
			}
			for field := range object(schema, "properties") {
				property := object(schema, "properties", field)
				if property["description"] == nil && property["$ref"] == nil {
					t.Errorf("%s does not describe %s.%s", name, schemaName, field)
				}
			}
		}
	}
}

func TestDownloadsHaveTheMediaTypesOfTheFormats(t *testing.T) {
	for name, document := range documents(t) {
		for _, status := range []string{"200", "206"} {
			content := object(document, "paths", "/v1/exports/{id}/download", "get", "responses", status, "content")
			if got := slices.Sorted(maps.Keys(content)); !slices.Equal(got, []string{"application/json", "application/vnd.apache.parquet", "application/x-ndjson", "text/csv", "text/markdown"}) {
				t.Errorf("%s: a download with %s is %v", name, status, got)
			}
		}
	}
}
