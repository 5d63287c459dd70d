package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"memexport/internal/service/apikey"
	"memexport/internal/service/format"
	"memexport/internal/service/memory"
	"memexport/internal/service/metrics"
)

func downloadOperation() huma.Operation {
	const description = "Downloads the file of an export, which is there once its status is `READY` and until `expires_at`. " +
		"Its media type is that of the export's format.\n\n" +
		"A download that broke off can be resumed with `Range` and `If-Range`; up to 16 ranges may be asked for at once. " +
		"`If-None-Match` and HEAD work too. A file that is stored compressed is sent with `Content-Encoding: gzip` if `Accept-Encoding` says so.\n\n" +
		"Read the file as a stream: it may be larger than memory."
	file := headerRefs("Content-Disposition", "Content-Encoding", "Content-Length", "Accept-Ranges", "ETag", "Last-Modified", "Repr-Digest", "Cache-Control")
	part := headerRefs("Content-Disposition", "Content-Length", "Content-Range", "Accept-Ranges", "ETag", "Last-Modified", "Repr-Digest", "Cache-Control")
	return operation(huma.Operation{
		OperationID: "downloadExport",
		Method:      http.MethodGet,
		Path:        "/v1/exports/{id}/download",
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
	}, apikey.ReadExports, 404, 409, 410, 412, 416)
}

func headerParam(name, description, example string) *huma.Param {
	return &huma.Param{Name: name, In: "header", Description: description, Schema: &huma.Schema{Type: huma.TypeString}, Example: example}
}

// fileContent returns the content of the download response for the OpenAPI document, with an example for
// each media type.
func fileContent() map[string]*huma.MediaType {
	m := memory.Memory{
		ID: []byte("0198b9d1-52e7-7a31-8c44-6f0d2b9e1a57"), Text: []byte("Prefers tea to coffee."), UserID: []byte("user-123"),
		Priority: []byte("MEDIUM"), Status: []byte("COMPLETED"), Categories: []byte(`["preferences"]`), Metadata: []byte(`{"source":"chat"}`),
		WorkspaceID: []byte("6b1f3c0e-2d5a-4f7b-9e8c-1a2b3c4d5e6f"), AccessCount: 3,
		CreatedAt: memory.TimeOf(pendingExample().CreatedAt), UpdatedAt: memory.TimeOf(pendingExample().CreatedAt),
	}
	content := map[string]*huma.MediaType{}
	for _, f := range format.All {
		mediaType, _, _ := strings.Cut(f.ContentType, ";")
		if f.Compressed { // the file is compressed and its bytes are not text, so the example shows only the beginning
			content[mediaType] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}, Example: f.Prefix}
			continue
		}
		file := f.Prefix + string(f.NewEncoder().Append(nil, &m)) + f.Suffix
		content[mediaType] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}, Example: file}
		if mediaType == "application/json" {
			// The schema allows any JSON. With a precise schema, generated clients would parse gigabytes
			// into objects.
			content[mediaType] = &huma.MediaType{Schema: &huma.Schema{}, Example: json.RawMessage(file)}
		}
	}
	return content
}

type downloadInput struct {
	ID      string `path:"id"`
	request *http.Request
}

// Resolve keeps the request, because the handler needs its method and headers.
func (in *downloadInput) Resolve(ctx huma.Context) []error {
	in.request, _ = humago.Unwrap(ctx)
	return nil
}

func (s *service) downloadExport(ctx context.Context, in *downloadInput) (*huma.StreamResponse, error) {
	id, err := parseID(in.ID)
	if err != nil {
		return nil, s.problem(ctx, err)
	}
	infoOf(ctx).exportID = id
	e, err := s.find(ctx, id)
	if err != nil {
		return nil, s.problem(ctx, err)
	}
	if p := notDownloadable(e); p != nil {
		return nil, p
	}
	if address := s.addressInStore(in.request, e); address != "" {
		if refusal := s.recordDownload(ctx, in.request.Method); refusal != nil {
			return nil, refusal
		}
		metrics.Downloads.Add(ctx, 1, metrics.DownloadRedirected, e.Format)
		return &huma.StreamResponse{Body: func(hctx huma.Context) {
			hctx.SetHeader("Location", address)
			hctx.SetHeader("Cache-Control", "private, no-store") // do not cache the redirect: the signed URL works only for some minutes
			hctx.SetStatus(http.StatusFound)
		}}, nil
	}
	endDownload, refusal := s.downloads.take(ctx, infoOf(ctx).keyID)
	if refusal != nil {
		return nil, refusal
	}
	file, closeFile, err := s.open(ctx, e)
	if err != nil {
		endDownload()
		return nil, s.unreadable(ctx, e, err)
	}
	release := func() {
		closeFile()
		endDownload()
	}
	if refusal := s.recordDownload(ctx, in.request.Method); refusal != nil {
		release()
		return nil, refusal
	}
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		defer release()
		r, w := humago.Unwrap(hctx)
		s.serveFile(w, r, e, file)
	}}, nil
}
