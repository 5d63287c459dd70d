package openapi_test

import (
	"encoding/json"

	"github.com/danielgtaylor/huma/v2"
)

// downgrade returns the document in OpenAPI 3.0 as JSON. Huma does most of it; what it leaves
// invalid is finished here.
func downgrade(document *huma.OpenAPI) ([]byte, error) {
	raw, err := document.Downgrade()
	if err != nil {
		return nil, err
	}
	var tree any
	if err := json.Unmarshal(raw, &tree); err != nil {
		return nil, err
	}
	finish(tree)
	return json.Marshal(tree)
}

func finish(node any) {
	switch node := node.(type) {
	case []any:
		for _, child := range node {
			finish(child)
		}
	case map[string]any:
		for name, child := range node {
			if name != "example" && name != "value" { // data, not schema
				finish(child)
			}
		}
		// Either A or null: 3.0 has no type null, but a flag.
		if either, ok := node["anyOf"].([]any); ok && len(either) == 2 && isNull(either[1]) {
			delete(node, "anyOf")
			node["allOf"], node["nullable"] = either[:1], true
		}
		// In 3.0 a reference hides everything beside it.
		if ref, ok := node["$ref"]; ok && len(node) > 1 {
			delete(node, "$ref")
			node["allOf"] = []any{map[string]any{"$ref": ref}}
		}
	}
}

func isNull(node any) bool {
	schema, _ := node.(map[string]any)
	return schema["type"] == "null"
}
