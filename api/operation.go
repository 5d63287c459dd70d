package api

import (
	"fmt"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"memexport/internal/service/apikey"
)

// permissionMetadata is the key in an operation's metadata under which its permission is stored.
const permissionMetadata = "permission"

// operation completes op. It adds the permission that the operation needs. It also adds references to the
// shared error responses, both for the statuses in refusals and for the statuses that every operation can
// return.
func operation(op huma.Operation, permission apikey.Permission, refusals ...int) huma.Operation {
	op.Tags = []string{"Exports"}
	op.Description += fmt.Sprintf("\n\nNeeds the permission `%s`.", permission)
	op.Metadata = map[string]any{permissionMetadata: permission}
	for _, status := range append(refusals, 401, 403, 414, 422, 429, 500, 503) {
		op.Responses[strconv.Itoa(status)] = &huma.Response{Ref: "#/components/responses/" + responseName(status)}
	}
	return op
}

// idParam describes the path parameter that names an export.
func idParam() *huma.Param {
	return &huma.Param{Name: "id", In: "path", Required: true, Description: "The id of the export.",
		Schema: &huma.Schema{Type: huma.TypeString, Format: "uuid"}, Example: exampleID}
}

// jsonExample returns the content of a JSON response with one example.
func jsonExample(name, summary string, value any) map[string]*huma.MediaType {
	return map[string]*huma.MediaType{"application/json": {Examples: map[string]*huma.Example{name: {Summary: summary, Value: value}}}}
}
