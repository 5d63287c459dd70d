// Command oapi-codegen tests a client that the generator oapi-codegen made from the OpenAPI
// document. It uses the client as a third-party program would, against a running service. It prints
// a line for every call.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/google/uuid"

	"memexport/tools/clients/oapi-codegen/exports"
)

var ctx = context.Background()

// client returns a client. The arguments are the names of the environment variables with the URL
// and the API key.
func client(url, key string) *exports.ClientWithResponses {
	c, err := exports.NewClientWithResponses(os.Getenv(url), exports.WithRequestEditorFn(
		func(_ context.Context, r *http.Request) error {
			r.Header.Set("X-Api-Key", os.Getenv(key))
			return nil
		}))
	must(err)
	return c
}

func main() {
	c := client("MEMEXPORT_URL", "API_KEY")
	everyFormat(c)
	everyFilter(c)
	pages(c)
	refusals(c)
	notReady(client("MEMEXPORT_URL_IDLE", "API_KEY"))
	expired(client("MEMEXPORT_URL_BRIEF", "API_KEY"))
	if failed {
		os.Exit(1)
	}
}

func create(c *exports.ClientWithResponses, params exports.CreateExportParams) *exports.Export {
	r, err := c.CreateExportWithResponse(ctx, &params)
	must(err)
	if r.JSON202 == nil {
		must(fmt.Errorf("POST: %s: %s", r.Status(), r.Body))
	}
	if want := "/v1/exports/" + r.JSON202.Id.String(); r.Headers202 == nil || r.Headers202.Location == nil || *r.Headers202.Location != want {
		must(fmt.Errorf("Location is not %s: %v", want, r.HTTPResponse.Header))
	}
	return r.JSON202
}

// ready polls an export until it is READY.
func ready(c *exports.ClientWithResponses, id uuid.UUID) *exports.Export {
	for wait := "wait=10"; ; {
		r, err := c.GetExportWithResponse(ctx, id, &exports.GetExportParams{Prefer: &wait})
		must(err)
		switch {
		case r.JSON200 == nil:
			must(fmt.Errorf("GET: %s: %s", r.Status(), r.Body))
		case r.JSON200.Status == exports.READY:
			return r.JSON200
		case r.JSON200.Error != nil:
			must(fmt.Errorf("%s: %s", r.JSON200.Error.Code, r.JSON200.Error.Message))
		}
	}
}

func everyFormat(c *exports.ClientWithResponses) {
	for _, format := range []exports.ExportFormat{exports.Json, exports.Csv, exports.Markdown, exports.Ndjson, exports.Parquet} {
		e := create(c, exports.CreateExportParams{Format: &format})
		did("createExport", 202, string(format), same("format", e.Format, format), same("priority", e.Priority == nil, true),
			same("valid status", e.Status.Valid(), true), same("error", e.Error == nil, true))
		e = ready(c, e.Id)
		did("getExport", 200, string(format), same("progress", e.Progress, 100))

		// Stream the download, which works for files of any size.
		response, err := c.DownloadExport(ctx, e.Id, nil)
		must(err)
		sum := sha256.New()
		size, err := io.Copy(sum, response.Body)
		response.Body.Close()
		did("downloadExport", 200, string(format), err, same("status", response.StatusCode, 200),
			same("size", size, *e.SizeBytes), same("digest", hex.EncodeToString(sum.Sum(nil)), *e.Sha256))

		if format == exports.Ndjson {
			ndjson(c, e)
			continue
		}

		// Read the whole file into memory. The response then has typed headers, and JSON is
		// decoded.
		whole, err := c.DownloadExportWithResponse(ctx, e.Id, nil)
		must(err)
		problems := []error{same("size", int64(len(whole.Body)), *e.SizeBytes), same("ETag", *whole.Headers200.ETag, `"`+*e.Sha256+`"`)}
		if format == exports.Json {
			memories, _ := (*whole.JSON200).([]any)
			problems = append(problems, same("memories", int64(len(memories)), e.MemoryCount))
		} else {
			rest := fmt.Sprintf("bytes=%d-", *e.SizeBytes-10)
			part, err := c.DownloadExportWithResponse(ctx, e.Id, &exports.DownloadExportParams{Range: &rest, IfRange: whole.Headers200.ETag})
			must(err)
			did("downloadExport", 206, string(format), same("part", bytes.HasSuffix(whole.Body, part.Body), true), same("bytes", len(part.Body), 10),
				same("status", part.StatusCode(), 206), same("Content-Range", part.Headers206.ContentRange != nil, true))
		}
		did("downloadExport", 200, string(format)+" at once", problems...)
		again, err := c.DownloadExportWithResponse(ctx, e.Id, &exports.DownloadExportParams{IfNoneMatch: whole.Headers200.ETag})
		must(err)
		did("downloadExport", 304, string(format), same("status", again.StatusCode(), 304))
		deleted, err := c.DeleteExportWithResponse(ctx, e.Id)
		must(err)
		did("deleteExport", 204, string(format), same("status", deleted.StatusCode(), 204))
	}
}

// ndjson tests what is different for NDJSON: because its media type contains "json", the generated code
// decodes the whole file as one JSON value, and fails. So programs must stream it.
func ndjson(c *exports.ClientWithResponses, e *exports.Export) {
	_, err := c.DownloadExportWithResponse(ctx, e.Id, nil)
	etag, rest := `"`+*e.Sha256+`"`, fmt.Sprintf("bytes=%d-", *e.SizeBytes-10)
	must(same("NDJSON is decoded", err == nil, false))
	part, err := c.DownloadExport(ctx, e.Id, &exports.DownloadExportParams{Range: &rest, IfRange: &etag})
	must(err)
	body, err := io.ReadAll(part.Body)
	part.Body.Close()
	did("downloadExport", 206, "ndjson", err, same("status", part.StatusCode, 206), same("bytes", len(body), 10))
	deleted, err := c.DeleteExportWithResponse(ctx, e.Id)
	must(err)
	did("deleteExport", 204, "ndjson", same("status", deleted.StatusCode(), 204))
}

func everyFilter(c *exports.ClientWithResponses) {
	format, user, agent, session, priority, name := exports.Csv, "user-1", "agent 1, with ü&=+", "session-1", exports.Priority("HIGH"), uuid.NewString()
	categories := []string{"work", "food & drink"}
	after, before := time.Date(2024, 1, 1, 0, 0, 0, 0, time.FixedZone("", 2*60*60)), time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	params := exports.CreateExportParams{Format: &format, UserId: &user, AgentId: &agent, SessionId: &session, Priority: &priority,
		Categories: &categories, CreatedAfter: &after, CreatedBefore: &before, IdempotencyKey: &name}
	e := create(c, params)
	did("createExport", 202, "every filter", same("user_id", *e.UserId, user), same("agent_id", *e.AgentId, agent), same("session_id", *e.SessionId, session),
		same("priority", string(*e.Priority), "HIGH"), same("categories", *e.Categories, categories),
		same("created_after", e.CreatedAfter.Equal(after), true), same("created_before", e.CreatedBefore.Equal(before), true))
	did("createExport", 202, "the same again", same("id", create(c, params).Id, e.Id))
	format = exports.Json
	r, err := c.CreateExportWithResponse(ctx, &params)
	must(err)
	did("createExport", 422, "Idempotency-Key", problem(r.ApplicationproblemJSON422, "IDEMPOTENCY_KEY_REUSED"))
}

func pages(c *exports.ClientWithResponses) {
	seen, size := map[uuid.UUID]bool{}, int32(2)
	var total int64
	for page := int32(1); ; page++ {
		r, err := c.ListExportsWithResponse(ctx, &exports.ListExportsParams{Page: &page, PageSize: &size})
		must(err)
		if r.JSON200 == nil {
			must(fmt.Errorf("list: %s: %s", r.Status(), r.Body))
		}
		for _, e := range r.JSON200.Data {
			seen[e.Id] = true
		}
		if total = r.JSON200.Meta.Total; int64(page) >= r.JSON200.Meta.LastPage {
			break
		}
	}
	did("listExports", 200, "pages", same("exports", int64(len(seen)), total), same("more than a page", total > 2, true))
}

// problem returns an error unless p is a problem with the code. p is nil if the generated client
// could not decode the response as the document describes it.
func problem(p *exports.Problem, code string) error {
	if p == nil {
		return errors.New("the answer does not have the type that the document gives for this status")
	}
	return errors.Join(same("code", p.Code, code), same("type", p.Type, "about:blank"), same("detail", p.Detail != "", true))
}

func refusals(c *exports.ClientWithResponses) {
	unknown := uuid.New()
	after := time.Now()
	created, err := c.CreateExportWithResponse(ctx, &exports.CreateExportParams{CreatedAfter: &after, CreatedBefore: &after})
	must(err)
	did("createExport", 422, "an empty window", problem(created.ApplicationproblemJSON422, "INVALID_REQUEST"),
		same("errors", len(*created.ApplicationproblemJSON422.Errors), 1))
	none := int32(0)
	listed, err := c.ListExportsWithResponse(ctx, &exports.ListExportsParams{Page: &none})
	must(err)
	did("listExports", 422, "page 0", problem(listed.ApplicationproblemJSON422, "INVALID_REQUEST"))
	got, err := c.GetExportWithResponse(ctx, unknown, nil)
	must(err)
	did("getExport", 404, "unknown", problem(got.ApplicationproblemJSON404, "EXPORT_NOT_FOUND"))
	file, err := c.DownloadExportWithResponse(ctx, unknown, nil)
	must(err)
	did("downloadExport", 404, "unknown", problem(file.ApplicationproblemJSON404, "EXPORT_NOT_FOUND"))
	deleted, err := c.DeleteExportWithResponse(ctx, unknown)
	must(err)
	did("deleteExport", 404, "unknown", problem(deleted.ApplicationproblemJSON404, "EXPORT_NOT_FOUND"))

	stranger, reader, writer := client("MEMEXPORT_URL", "NO_KEY"), client("MEMEXPORT_URL", "API_KEY_READ"), client("MEMEXPORT_URL", "API_KEY_WRITE")
	for _, as := range []struct {
		status        int
		code          string
		reads, writes *exports.ClientWithResponses
	}{{401, "UNAUTHORIZED", stranger, stranger}, {403, "PERMISSION_DENIED", writer, reader}} {
		// The generated response has a separate field for each status. Only the field for the
		// actual status is set.
		pick := func(p401, p403 *exports.Problem) *exports.Problem {
			if as.status == 401 {
				return p401
			}
			return p403
		}
		created, err := as.writes.CreateExportWithResponse(ctx, nil)
		must(err)
		did("createExport", as.status, as.code, problem(pick(created.ApplicationproblemJSON401, created.ApplicationproblemJSON403), as.code))
		listed, err := as.reads.ListExportsWithResponse(ctx, nil)
		must(err)
		did("listExports", as.status, as.code, problem(pick(listed.ApplicationproblemJSON401, listed.ApplicationproblemJSON403), as.code))
		got, err := as.reads.GetExportWithResponse(ctx, unknown, nil)
		must(err)
		did("getExport", as.status, as.code, problem(pick(got.ApplicationproblemJSON401, got.ApplicationproblemJSON403), as.code))
		file, err := as.reads.DownloadExportWithResponse(ctx, unknown, nil)
		must(err)
		did("downloadExport", as.status, as.code, problem(pick(file.ApplicationproblemJSON401, file.ApplicationproblemJSON403), as.code))
		deleted, err := as.writes.DeleteExportWithResponse(ctx, unknown)
		must(err)
		did("deleteExport", as.status, as.code, problem(pick(deleted.ApplicationproblemJSON401, deleted.ApplicationproblemJSON403), as.code))
	}
}

// notReady tests a service that accepts exports but has no worker.
func notReady(c *exports.ClientWithResponses) {
	e := create(c, exports.CreateExportParams{})
	r, err := c.DownloadExportWithResponse(ctx, e.Id, nil)
	must(err)
	did("downloadExport", 409, "PENDING", problem(r.ApplicationproblemJSON409, "EXPORT_NOT_READY"),
		same("Retry-After", r.Headers409 != nil && r.Headers409.RetryAfter != nil, true))
	deleted, err := c.DeleteExportWithResponse(ctx, e.Id)
	must(err)
	did("deleteExport", 204, "PENDING", same("status", deleted.StatusCode(), 204))
}

// expired tests a service whose exports expire after a second.
func expired(c *exports.ClientWithResponses) {
	e := create(c, exports.CreateExportParams{})
	for {
		r, err := c.GetExportWithResponse(ctx, e.Id, nil)
		must(err)
		if r.JSON200.Status == exports.EXPIRED {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	r, err := c.DownloadExportWithResponse(ctx, e.Id, nil)
	must(err)
	did("downloadExport", 410, "EXPIRED", problem(r.ApplicationproblemJSON410, "EXPORT_EXPIRED"))
}
