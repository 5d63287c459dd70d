package api

import (
	"cmp"

	"github.com/danielgtaylor/huma/v2"
)

// apiVersion is the version of the API, not of the program. Increase it when the API changes.
const apiVersion = "1.0.0"

// config returns the parts of the OpenAPI document that do not belong to one operation.
func config() huma.Config {
	c := huma.DefaultConfig("Exports API", apiVersion)
	c.CreateHooks = nil                                   // these hooks would add $schema to bodies, and describedBy links
	c.OpenAPIPath, c.SchemasPath, c.DocsPath = "", "", "" // the embedded files are served instead
	c.Info.Description = `Download the memories of a workspace in bulk, as JSON, NDJSON, CSV, Markdown or Parquet.

An export is made asynchronously: create it, poll it until its status is READY (or let the server wait for you with the header ` + "`Prefer: wait=30`" + `), then download its file. The file stays available for 72 hours after that.

Every request needs an API key, in the header ` + "`X-Api-Key`" + ` or as ` + "`Authorization: Bearer`" + `. A key belongs to one workspace and sees nothing of any other.

Whatever is refused or fails is answered with problem details (RFC 9457), whose field ` + "`code`" + ` is stable. Fields and codes may be added, so clients should ignore those that they do not know. Every answer carries an ` + "`X-Request-Id`" + `, which finds it again in the logs of the service.`
	c.Servers = []*huma.Server{{URL: "/", Description: "The server that this document comes from."}}
	c.Tags = []*huma.Tag{{Name: "Exports", Description: "Bulk downloads of a workspace's memories."}}
	c.Components.Schemas = newRegistry()
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"apiKey": {Type: "apiKey", In: "header", Name: keyHeader, Description: "The key of a workspace, such as msk_live_... or msk_test_..."},
		"bearer": {Type: "http", Scheme: "bearer", Description: "The same key in the header Authorization, or an access token (JWT) of the identity provider that the service accepts tokens from, if it does."},
	}
	c.Security = []map[string][]string{{"apiKey": {}}, {"bearer": {}}} // clients send one of the two
	c.Components.Headers = headers
	c.Components.Responses = problemResponses(c.Components.Schemas)
	c.OnAddOperation = append(c.OnAddOperation, func(_ *huma.OpenAPI, op *huma.Operation) {
		for name, s := range c.Components.Schemas.Map() {
			s.AdditionalProperties = nil // without this, schemas forbid unknown fields and strict clients would break when a field is added
			s.Description = cmp.Or(s.Description, schemaDescriptions[name])
		}
		for _, p := range op.Parameters {
			if len(p.Schema.Examples) > 0 {
				p.Example = p.Schema.Examples[0]
			}
			p.Schema.Description, p.Schema.Examples = "", nil // keep the description on the parameter only, where every tool shows it
		}
	})
	return c
}

// schemaDescriptions describes the schemas of objects. Enums bring their own descriptions.
var schemaDescriptions = map[string]string{
	"Export":        "An export job: what was asked for, and what has become of it. The fields of filters are null where nothing is filtered.",
	"ExportError":   "Why an export failed.",
	"ExportList":    "A page of exports.",
	"ListMeta":      "Where a page is in the whole list.",
	"Problem":       "A refusal or failure as problem details (RFC 9457). Programs decide by its code.",
	"ProblemDetail": "One thing that is wrong with a request. It never repeats the value, which may be personal data.",
}
