package api

import (
	"fmt"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"memexport/internal/service/apikey"
	"memexport/internal/service/export"
	"memexport/internal/service/memory"
)

// operation is what the document says about an operation, and the permission that it needs.
func operation(id, method, path string, permission apikey.Permission) huma.Operation {
	op := operations[id]()
	op.OperationID, op.Method, op.Path = id, method, path
	op.Tags = []string{"Exports"}
	op.Description += fmt.Sprintf("\n\nNeeds the permission `%s`.", permission)
	op.Metadata = map[string]any{permissionMetadata: permission}
	refuses(&op, 401, 403, 414, 422, 500, 503)
	return op
}

var operations = map[string]func() huma.Operation{
	"createExport": func() huma.Operation {
		return huma.Operation{
			Summary: "Create an export",
			Description: "Creates an export job. All query parameters are optional: the filters are combined with AND, and without any, all memories of the workspace are exported. " +
				"A parameter that is unknown, empty or given twice is refused, so that no typing error exports more than was meant; so is a body, which has no meaning here.\n\n" +
				"The export is processed asynchronously: poll it at the `Location` until its status is `READY`, then download the file.",
			DefaultStatus: http.StatusAccepted,
			Parameters:    append([]*huma.Param{formatParam()}, filterDocs()...),
			Responses: map[string]*huma.Response{
				"202": {Description: "The export was accepted. For a repeated Idempotency-Key: the export of the first request.",
					Headers: headerRefs("Location", "Retry-After"), Content: jsonExample("pending", "Just accepted.", pendingExample())},
			},
		}
	},
	"listExports": func() huma.Operation {
		return huma.Operation{
			Summary:     "List exports",
			Description: "Lists the exports of the workspace, newest first, a page at a time.",
			Responses: map[string]*huma.Response{
				"200": {Description: "A page of exports. A page past the last is empty.", Headers: headerRefs("Link"),
					Content: jsonExample("page", "The only page.", ExportList{
						Data: []Export{readyExample()}, Meta: ListMeta{CurrentPage: 1, PerPage: 20, Total: 1, LastPage: 1},
					})},
			},
		}
	},
	"getExport": func() huma.Operation {
		op := huma.Operation{
			Summary:     "Get an export",
			Description: "Tells what has become of an export. Poll it until its status is `READY` or `FAILED`, at the pace of `Retry-After`, or let the server wait with the header `Prefer: wait=30`.",
			Parameters:  []*huma.Param{idParam()},
			Responses: map[string]*huma.Response{
				"200": {Description: "The export. Retry-After is there as long as it is not finished.", Headers: headerRefs("Retry-After", "Preference-Applied"),
					Content: jsonExample("ready", "The file can be downloaded.", readyExample())},
			},
		}
		examples := op.Responses["200"].Content["application/json"].Examples
		examples["pending"] = &huma.Example{Summary: "Just accepted.", Value: pendingExample()}
		examples["failed"] = &huma.Example{Summary: "It failed; a new export may succeed.", Value: failedExample()}
		refuses(&op, 404)
		return op
	},
	"downloadExport": func() huma.Operation {
		const description = "Downloads the file of an export, which is there once its status is `READY` and until `expires_at`. " +
			"Its media type is that of the export's format.\n\n" +
			"A download that broke off can be resumed with `Range` and `If-Range`; up to 16 ranges may be asked for at once. " +
			"`If-None-Match` and HEAD work too. A file that is stored compressed is sent with `Content-Encoding: gzip` if `Accept-Encoding` says so.\n\n" +
			"Read the file as a stream: it may be larger than memory."
		file := headerRefs("Content-Disposition", "Content-Encoding", "Content-Length", "Accept-Ranges", "ETag", "Last-Modified", "Repr-Digest", "Cache-Control")
		part := headerRefs("Content-Disposition", "Content-Length", "Content-Range", "Accept-Ranges", "ETag", "Last-Modified", "Repr-Digest", "Cache-Control")
		op := huma.Operation{
			Summary:     "Download an export",
			Description: description,
			Parameters: []*huma.Param{idParam(),
				headerParam("Range", "Which bytes of the file to send (RFC 9110).", "bytes=1024-"),
				headerParam("If-Range", "The ETag of the file that Range is about: of any other, the whole is sent.", `"`+exampleSHA256+`"`),
				headerParam("If-None-Match", "The ETag of the file that the client has already: that one is not sent again.", `"`+exampleSHA256+`"`),
			},
			Responses: map[string]*huma.Response{
				"200": {Description: "The file.", Headers: file, Content: fileContent()},
				"206": {Description: "The bytes of the file that Range asks for; several ranges come as multipart/byteranges (RFC 9110).", Headers: part, Content: fileContent()},
				"302": {Description: "The file is at another address, in the object store, which is good for 15 minutes at most and needs no key: send none there. Only where the operator of the service wants it so.",
					Headers: map[string]*huma.Header{"Location": {Ref: "#/components/headers/FileLocation"}, "Cache-Control": headerRefs("Cache-Control")["Cache-Control"]}},
				"304": {Description: "The file is the one that If-None-Match names.", Headers: headerRefs("ETag", "Cache-Control")},
			},
		}
		refuses(&op, 404, 409, 410, 412, 416)
		return op
	},
	"deleteExport": func() huma.Operation {
		op := huma.Operation{
			Summary:       "Delete an export",
			Description:   "Deletes an export for good: one that is running is cancelled, the file of a finished one is removed. From now on it is not found.",
			DefaultStatus: http.StatusNoContent,
			Parameters:    []*huma.Param{idParam()},
			Responses:     map[string]*huma.Response{"204": {Description: "The export is deleted."}},
		}
		refuses(&op, 404)
		return op
	},
}

func idParam() *huma.Param {
	return &huma.Param{Name: "id", In: "path", Required: true, Description: "The id of the export.",
		Schema: &huma.Schema{Type: huma.TypeString, Format: "uuid"}, Example: exampleID}
}

func headerParam(name, description, example string) *huma.Param {
	return &huma.Param{Name: name, In: "header", Description: description, Schema: &huma.Schema{Type: huma.TypeString}, Example: example}
}

func formatParam() *huma.Param {
	return &huma.Param{Name: "format", In: "query", Description: "The format of the file.",
		Schema: &huma.Schema{Ref: schemaPrefix + "ExportFormat", Default: defaultFormat}, Example: "csv"}
}

// filterDocs describes the parameters of memory.Filter.
func filterDocs() []*huma.Param {
	var params []*huma.Param
	for _, p := range paramsOf(newRegistry(), reflect.TypeFor[memory.Filter]()) {
		param := &huma.Param{Name: p.name, In: "query", Description: p.schema.Description, Schema: p.schema}
		switch {
		case p.schema.Type == huma.TypeArray:
			param.Explode = new(bool) // separated by commas
			param.Description += " Separated by commas; the parameter may also be repeated. What is repeated counts once, and spaces count. An item cannot contain a comma."
		case p.schema.Format == "date-time":
			param.Description += " A timestamp after RFC 3339 with any offset, or a date such as 2026-01-15, which means midnight UTC. A + must be sent as %2B, since in a URL it means a space."
		}
		params = append(params, param)
	}
	return params
}

func jsonExample(name, summary string, value any) map[string]*huma.MediaType {
	return map[string]*huma.MediaType{"application/json": {Examples: map[string]*huma.Example{name: {Summary: summary, Value: value}}}}
}

const (
	exampleID     = "0198c2a4-6d0e-7c55-9f0a-3c1d5b7e9a24"
	exampleSHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

func pendingExample() Export {
	user, created := "user-123", time.Date(2026, 1, 15, 10, 30, 0, 0, time.UTC)
	return Export{
		ID: exampleID, Format: "csv", Status: export.Pending, CreatedAt: created, UpdatedAt: created,
		Filter: memory.Filter{UserID: &user, Categories: []string{"preferences", "work"}},
	}
}

func readyExample() Export {
	e := pendingExample()
	started, completed := e.CreatedAt.Add(time.Second), e.CreatedAt.Add(4*time.Second)
	expires, size, sum := completed.Add(72*time.Hour), int64(482133), exampleSHA256
	e.Status, e.UpdatedAt, e.StartedAt, e.CompletedAt, e.ExpiresAt = export.Ready, completed, &started, &completed, &expires
	e.MemoryCount, e.SizeBytes, e.SHA256, e.Progress = 1284, &size, &sum, 100
	return e
}

func failedExample() Export {
	e := readyExample()
	failure := export.Failures[export.CodeSourceUnavailable]
	e.Status, e.ExpiresAt, e.SizeBytes, e.SHA256, e.MemoryCount, e.Progress = export.Failed, nil, nil, nil, 640, 49
	e.Error = &ExportError{Code: failure.Code, Message: failure.Message, Retryable: failure.Retryable}
	return e
}
