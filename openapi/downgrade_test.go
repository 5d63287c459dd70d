package openapi_test

import (
	"encoding/json"
	"maps"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

const schemaPrefix = "#/components/schemas/"

// downgrade returns the document in OpenAPI 3.0 as JSON. Huma does most of the work, but writes nullable
// references in a form that 3.0 does not allow. downgrade replaces that form.
func downgrade(document *huma.OpenAPI) ([]byte, error) {
	raw, err := document.Downgrade()
	if err != nil {
		return nil, err
	}
	var tree map[string]any
	if err := json.Unmarshal(raw, &tree); err != nil {
		return nil, err
	}
	references, orNull := map[any]int{}, map[any]int{}
	walk(tree, func(node map[string]any) {
		if ref := refOrNull(node); ref != nil {
			orNull[ref]++
		}
		if ref, ok := node["$ref"]; ok {
			references[ref]++
		}
	})
	// In 3.0, a schema can be nullable, but a reference to a schema cannot. So make the schema itself
	// nullable. If other references to the schema do not allow null, make a nullable copy of the schema
	// instead.
	schemas := tree["components"].(map[string]any)["schemas"].(map[string]any)
	twins := map[any]string{}
	for ref, uses := range orNull {
		name := strings.TrimPrefix(ref.(string), schemaPrefix)
		twin := name
		if references[ref] > uses {
			twin = "Nullable" + name
		}
		twins[ref], schemas[twin] = schemaPrefix+twin, nullable(schemas[name].(map[string]any))
	}
	walk(tree, func(node map[string]any) {
		if ref := refOrNull(node); ref != nil {
			delete(node, "anyOf")
			node["$ref"] = twins[ref]
		}
		// OpenAPI 3.0 tools ignore everything beside a reference, so move the reference into allOf.
		if ref, ok := node["$ref"]; ok && len(node) > 1 {
			delete(node, "$ref")
			node["allOf"] = []any{map[string]any{"$ref": ref}}
		}
	})
	return json.Marshal(tree)
}

// walk visits every object of the document that is not an example.
func walk(node any, visit func(map[string]any)) {
	switch node := node.(type) {
	case []any:
		for _, child := range node {
			walk(child, visit)
		}
	case map[string]any:
		visit(node)
		for name, child := range node {
			if name != "example" && name != "value" { // an example contains data, not schemas
				walk(child, visit)
			}
		}
	}
}

// refOrNull returns the reference in a schema of the form "this reference or null", or nil for a schema
// of another form.
func refOrNull(node map[string]any) any {
	either, _ := node["anyOf"].([]any)
	if len(either) != 2 || either[1].(map[string]any)["type"] != "null" {
		return nil
	}
	return either[0].(map[string]any)["$ref"]
}

// nullable returns a copy of schema that also allows null. If schema is an enum, null must also be one of
// its values.
func nullable(schema map[string]any) map[string]any {
	schema = maps.Clone(schema)
	schema["nullable"] = true
	if values, ok := schema["enum"].([]any); ok {
		schema["enum"] = append(values[:len(values):len(values)], nil)
	}
	return schema
}
