// Package client is a client of the Exports API, generated from its OpenAPI document.
//
// A [RequestEditorFn] adds the API key to each request: see the example. The methods of [Client]
// return the plain response, and the caller must close its body. The methods of
// [ClientWithResponses] read the body and decode it into a separate field for each status. Use
// [Client.DownloadExport] to download files, because you can read its response as a stream.
// DownloadExportWithResponse reads the whole file into memory.
//
// Set DisableCompression in the http.Transport if you count bytes or request ranges. Otherwise
// net/http decompresses a file that the API sends compressed, and removes its Content-Length.
package client

//go:generate go run -modfile=../tools/oapi-codegen/go.mod github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen -config oapi-codegen.yaml -o client.gen.go ../openapi/openapi.yaml
