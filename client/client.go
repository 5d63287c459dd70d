// Package client is a client of the Exports API, generated from its OpenAPI document. The HTTP client
// that it is given has to stay away from compression if the lengths of downloads are to be true, and
// the key is given to it by an editor:
//
//	c, err := client.NewClient(url, client.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
//		r.Header.Set("X-Api-Key", key)
//		return nil
//	}))
//	response, err := c.CreateExport(ctx, &client.CreateExportParams{Format: new(client.Csv)})
package client

//go:generate go run -modfile=../tools/oapi-codegen/go.mod github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen -config oapi-codegen.yaml -o client.gen.go ../openapi/openapi.yaml
