package client_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"

	"github.com/google/uuid"

	"memexport/client"
)

// withKey adds the API key to every request.
func withKey(key string) client.ClientOption {
	return client.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		r.Header.Set("X-Api-Key", key)
		return nil
	})
}

// This example creates an export, waits until it is READY, and downloads its file.
func Example() {
	server := exampleServer() // stands in for https://exports.example.com
	defer server.Close()

	ctx := context.Background()
	c, err := client.NewClientWithResponses(server.URL, withKey("msk_test_example"))
	if err != nil {
		log.Fatal(err)
	}
	// Because of the idempotency key, it is safe to repeat the request.
	params := client.CreateExportParams{Format: new(client.JSON), IdempotencyKey: new("nightly-2026-01-31")}
	created, err := c.CreateExportWithResponse(ctx, &params)
	if err != nil {
		log.Fatal(err)
	}
	if created.JSON202 == nil {
		log.Fatal(created.Status())
	}
	export := created.JSON202
	fmt.Println(export.Status)

	for export.Status == client.PENDING || export.Status == client.PROCESSING {
		// The server answers when the export is READY or has failed, or after 30 seconds.
		got, err := c.GetExportWithResponse(ctx, export.ID, &client.GetExportParams{Prefer: new("wait=30")})
		if err != nil {
			log.Fatal(err)
		}
		if got.JSON200 == nil {
			log.Fatal(got.Status())
		}
		export = got.JSON200
	}
	fmt.Println(export.Status, export.MemoryCount)

	file, err := c.DownloadExport(ctx, export.ID, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer file.Body.Close()
	if file.StatusCode != http.StatusOK {
		log.Fatal(file.Status)
	}
	size, err := io.Copy(io.Discard, file.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(size == *export.SizeBytes)
	// Output:
	// PENDING
	// READY 2
	// true
}

// A response that rejects a request contains a code for programs, and an error for each wrong
// parameter.
func ExampleClientWithResponses_CreateExportWithResponse_refused() {
	server := exampleServer()
	defer server.Close()

	c, err := client.NewClientWithResponses(server.URL, withKey("msk_test_example"))
	if err != nil {
		log.Fatal(err)
	}
	params := client.CreateExportParams{Format: new(client.ExportFormat("xml"))}
	created, err := c.CreateExportWithResponse(context.Background(), &params)
	if err != nil {
		log.Fatal(err)
	}
	if problem := created.ApplicationProblemJSON422; problem != nil {
		fmt.Println(problem.Code)
		for _, e := range *problem.Errors {
			fmt.Println(e.Location+":", e.Message)
		}
	}
	// Output:
	// INVALID_REQUEST
	// query.format: expected one of json, csv, markdown
}

// The list is divided into pages and begins with the newest export.
func ExampleClientWithResponses_ListExportsWithResponse() {
	server := exampleServer()
	defer server.Close()

	c, err := client.NewClientWithResponses(server.URL, withKey("msk_test_example"))
	if err != nil {
		log.Fatal(err)
	}
	for page, last := int32(1), int32(1); page <= last; page++ {
		list, err := c.ListExportsWithResponse(context.Background(), &client.ListExportsParams{Page: &page, PageSize: new(int32(1))})
		if err != nil {
			log.Fatal(err)
		}
		if list.JSON200 == nil {
			log.Fatal(list.Status())
		}
		for _, e := range list.JSON200.Data {
			fmt.Println(page, e.ID, e.Status)
		}
		last = int32(list.JSON200.Meta.LastPage)
	}
	// Output:
	// 1 0198c2a4-6d0e-7c55-9f0a-3c1d5b7e9a24 READY
	// 2 0198c2a4-6d0e-7c55-9f0a-3c1d5b7e9a24 READY
}

// This example continues a download that broke after 20 bytes. If the file has changed since,
// If-Range makes the API send the whole new file with status 200.
func ExampleClient_DownloadExport_resume() {
	server := exampleServer()
	defer server.Close()

	c, err := client.NewClient(server.URL, withKey("msk_test_example"))
	if err != nil {
		log.Fatal(err)
	}
	etag := `"` + exampleSum + `"` // from the first response
	rest, err := c.DownloadExport(context.Background(), uuid.MustParse(exampleID), &client.DownloadExportParams{
		Range:   new("bytes=20-"),
		IfRange: &etag,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer rest.Body.Close()
	text, err := io.ReadAll(rest.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(rest.Status)
	fmt.Printf("%s", text)
	// Output:
	// 206 Partial Content
	// ea"},
	// {"memory":"lives in Lyon"}
	// ]
}
