package api

import (
	"fmt"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"memexport/internal/service/apikey"
)

// permissionMetadata is the key under which the metadata of an operation has its permission.
const permissionMetadata = "permission"

// operation adds to op what all operations have in common: the permission that it needs, and
// references to the shared responses with these statuses and with those of every operation.
func operation(op huma.Operation, permission apikey.Permission, refusals ...int) huma.Operation {
	op.Tags = []string{"Exports"}
	op.Description += fmt.Sprintf("\n\nNeeds the permission `%s`.", permission)
	op.Metadata = map[string]any{permissionMetadata: permission}
	for _, status := range append(refusals, 401, 403, 414, 422, 429, 500, 503) {
		op.Responses[strconv.Itoa(status)] = &huma.Response{Ref: "#/components/responses/" + responseName(status)}
	}
	return op
}

// idParam describes the parameter in the path of operations on one export.
func idParam() *huma.Param {
	return &huma.Param{Name: "id", In: "path", Required: true, Description: "The id of the export.",
		Schema: &huma.Schema{Type: huma.TypeString, Format: "uuid"}, Example: exampleID}
}

// jsonExample returns the content of a JSON response with one example.
func jsonExample(name, summary string, value any) map[string]*huma.MediaType {
	return map[string]*huma.MediaType{"application/json": {Examples: map[string]*huma.Example{name: {Summary: summary, Value: value}}}}
}
