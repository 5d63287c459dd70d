// Package client is a client of the Exports API, generated from its OpenAPI document.
//
// The API key goes into each request by a [RequestEditorFn]; see the example. The methods of [Client]
// return the plain response, whose body the caller closes. The methods of [ClientWithResponses] decode
// it into a field for each status. Download files with [Client.DownloadExport]: its response is a
// stream, while DownloadExportWithResponse reads the whole file into memory.
//
// Set DisableCompression in the http.Transport if you count bytes or use ranges: otherwise net/http
// decompresses a file that the API sends compressed, and its Content-Length is lost.
package client

//go:generate go run -modfile=../tools/oapi-codegen/go.mod github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen -config oapi-codegen.yaml -o client.gen.go ../openapi/openapi.yaml
