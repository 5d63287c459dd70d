// Command ogen tests a client that the generator ogen made from the OpenAPI document. It uses the
// client as a third-party program would, against a running service. It prints a line for every
// call. A client made by ogen checks every response against the document.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/google/uuid"
	"github.com/ogen-go/ogen/ogenerrors"

	"memexport/tools/clients/ogen/exports"
)

var ctx = context.Background()

// key is the name of the environment variable with the API key.
type key string

func (k key) ApiKey(context.Context, exports.OperationName) (exports.ApiKey, error) {
	return exports.ApiKey{APIKey: os.Getenv(string(k))}, nil
}

// Bearer skips the authentication by token, because the API key is enough.
func (key) Bearer(context.Context, exports.OperationName) (exports.Bearer, error) {
	return exports.Bearer{}, ogenerrors.ErrSkipClientSecurity
}

// client returns a client. The arguments are the names of the environment variables with the URL
// and the API key.
func client(url, apiKey string) *exports.Client {
	c, err := exports.NewClient(os.Getenv(url), key(apiKey))
	must(err)
	return c
}

// set sets an optional parameter. It is generic because ogen generates a type for each parameter.
func set[T ~string](parameter interface{ SetTo(T) }, value string) { parameter.SetTo(T(value)) }

func main() {
	c := client("MEMEXPORT_URL", "API_KEY")
	for _, format := range []string{"json", "csv", "markdown", "ndjson", "parquet"} {
		export(c, format)
	}
	everyFilter(c)
	pages(c)
	refusals(c)
	notReady(client("MEMEXPORT_URL_IDLE", "API_KEY"))
	expired(client("MEMEXPORT_URL_BRIEF", "API_KEY"))
	if failed {
		os.Exit(1)
	}
}

func create(c *exports.Client, params exports.CreateExportParams) exports.Export {
	answer, err := c.CreateExport(ctx, params)
	must(err)
	accepted, ok := answer.(*exports.ExportHeaders)
	if !ok {
		must(fmt.Errorf("POST: %T %+v", answer, answer))
	}
	must(same("Location", accepted.Location.Value, "/v1/exports/"+accepted.Response.ID.String()))
	return accepted.Response
}

// until polls an export until it has the status.
func until(c *exports.Client, id uuid.UUID, status exports.ExportStatus) exports.Export {
	for {
		answer, err := c.GetExport(ctx, exports.GetExportParams{ID: id, Prefer: exports.NewOptString("wait=10")})
		must(err)
		got, ok := answer.(*exports.GetExportOKHeaders)
		switch {
		case !ok:
			must(fmt.Errorf("GET: %T %+v", answer, answer))
		case got.Response.Status == status:
			return got.Response
		case !got.Response.Error.Null:
			must(fmt.Errorf("%+v", got.Response.Error.Value))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func export(c *exports.Client, format string) {
	params := exports.CreateExportParams{}
	set(&params.Format, format)
	e := create(c, params)
	did("createExport", 202, format, same("format", string(e.Format), format), same("priority", e.Priority.Null, true), same("error", e.Error.Null, true))
	e = until(c, e.ID, exports.ExportStatusREADY)
	did("getExport", 200, format, same("progress", e.Progress, 100))

	answer, err := c.DownloadExport(ctx, exports.DownloadExportParams{ID: e.ID})
	must(err)
	file, etag := fileOf(answer)
	sum := sha256.Sum256(file)
	problems := []error{same("size", int64(len(file)), e.SizeBytes.Value), same("digest", hex.EncodeToString(sum[:]), e.SHA256.Value), same("ETag", etag, `"`+e.SHA256.Value+`"`)}
	if format == "json" {
		var memories []any
		problems = append(problems, json.Unmarshal(file, &memories), same("memories", int64(len(memories)), e.MemoryCount))
	} else {
		answer, err := c.DownloadExport(ctx, exports.DownloadExportParams{ID: e.ID, Range: exports.NewOptString(fmt.Sprintf("bytes=%d-", len(file)-10)), IfRange: exports.NewOptString(etag)})
		must(err)
		part, _ := fileOf(answer)
		did("downloadExport", 206, format, same("part", string(part), string(file[len(file)-10:])))
	}
	did("downloadExport", 200, format, problems...)
	answer, err = c.DownloadExport(ctx, exports.DownloadExportParams{ID: e.ID, IfNoneMatch: exports.NewOptString(etag)})
	must(err)
	_, unchanged := answer.(*exports.DownloadExportNotModified)
	did("downloadExport", 304, format, same("unchanged", unchanged, true))
	remove(c, e.ID, format)
}

// fileOf returns the file in a response, or the part of the file in a partial response, and its
// ETag.
func fileOf(answer exports.DownloadExportRes) (file []byte, etag string) {
	var err error
	switch r := answer.(type) {
	case *exports.DownloadExportOKApplicationJSONHeaders:
		return append(r.Response, '\n'), r.ETag.Value // ogen parses JSON and drops the line end after it
	case *exports.DownloadExportOKTextCsvHeaders:
		file, err = io.ReadAll(r.Response)
		etag = r.ETag.Value
	case *exports.DownloadExportOKTextMarkdownHeaders:
		file, err = io.ReadAll(r.Response)
		etag = r.ETag.Value
	case *exports.DownloadExportOKApplicationXNdjsonHeaders:
		file, err = io.ReadAll(r.Response)
		etag = r.ETag.Value
	case *exports.DownloadExportOKApplicationVndApacheParquetHeaders:
		file, err = io.ReadAll(r.Response)
		etag = r.ETag.Value
	case *exports.DownloadExportPartialContentTextCsvHeaders:
		file, err = io.ReadAll(r.Response)
	case *exports.DownloadExportPartialContentTextMarkdownHeaders:
		file, err = io.ReadAll(r.Response)
	case *exports.DownloadExportPartialContentApplicationXNdjsonHeaders:
		file, err = io.ReadAll(r.Response)
	case *exports.DownloadExportPartialContentApplicationVndApacheParquetHeaders:
		file, err = io.ReadAll(r.Response)
	default:
		err = fmt.Errorf("download: %T %+v", answer, answer)
	}
	must(err)
	return file, etag
}

func remove(c *exports.Client, id uuid.UUID, what string) {
	answer, err := c.DeleteExport(ctx, exports.DeleteExportParams{ID: id})
	must(err)
	_, ok := answer.(*exports.DeleteExportNoContent)
	did("deleteExport", 204, what, same("deleted", ok, true))
}

func everyFilter(c *exports.Client) {
	after, before := time.Date(2024, 1, 1, 0, 0, 0, 0, time.FixedZone("", 2*60*60)), time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	params := exports.CreateExportParams{
		UserID: exports.NewOptString("user-1"), AgentID: exports.NewOptString("agent 1, with ü&=+"), SessionID: exports.NewOptString("session-1"),
		Categories: []string{"work", "food & drink"}, IdempotencyKey: exports.NewOptString(uuid.NewString()),
	}
	params.CreatedAfter.SetTo(after)
	params.CreatedBefore.SetTo(before)
	set(&params.Priority, "HIGH")
	set(&params.Format, "csv")
	e := create(c, params)
	did("createExport", 202, "every filter", same("user_id", e.UserID.Value, "user-1"), same("agent_id", e.AgentID.Value, params.AgentID.Value),
		same("session_id", e.SessionID.Value, "session-1"), same("priority", string(e.Priority.Value), "HIGH"), same("categories", e.Categories, params.Categories),
		same("created_after", e.CreatedAfter.Value.Equal(after), true), same("created_before", e.CreatedBefore.Value.Equal(before), true))
	did("createExport", 202, "the same again", same("id", create(c, params).ID, e.ID))
	set(&params.Format, "json")
	answer, err := c.CreateExport(ctx, params)
	refused("createExport", "Idempotency-Key", answer, err, 422, "IDEMPOTENCY_KEY_REUSED")
}

func pages(c *exports.Client) {
	seen := map[uuid.UUID]bool{}
	for page := int32(1); ; page++ {
		answer, err := c.ListExports(ctx, exports.ListExportsParams{Page: exports.NewOptInt32(page), PageSize: exports.NewOptInt32(2)})
		must(err)
		list, ok := answer.(*exports.ExportListHeaders)
		if !ok {
			must(fmt.Errorf("list: %T %+v", answer, answer))
		}
		for _, e := range list.Response.Data {
			seen[e.ID] = true
		}
		if meta := list.Response.Meta; int64(page) >= meta.LastPage {
			did("listExports", 200, "pages", same("exports", int64(len(seen)), meta.Total), same("more than a page", meta.LastPage > 1, true))
			return
		}
	}
}

// refused prints a call that the API refused. The answer must have the Go type that ogen generates
// for this status.
func refused(operation, what string, answer any, err error, status int, code string) {
	must(err)
	gotStatus, p := problemOf(answer)
	did(operation, status, what, same("status by type", gotStatus, status), same("status", int(p.Status), status), same("code", p.Code, code),
		same("detail", p.Detail != "", true), same("errors", len(p.Errors) > 0, code == "INVALID_REQUEST"))
}

func problemOf(answer any) (status int, p exports.Problem) {
	switch r := answer.(type) {
	case *exports.UnauthorizedHeaders:
		return 401, r.Response
	case *exports.CreateExportForbidden:
		return 403, exports.Problem(*r)
	case *exports.ListExportsForbidden:
		return 403, exports.Problem(*r)
	case *exports.GetExportForbidden:
		return 403, exports.Problem(*r)
	case *exports.DownloadExportForbidden:
		return 403, exports.Problem(*r)
	case *exports.DeleteExportForbidden:
		return 403, exports.Problem(*r)
	case *exports.GetExportNotFound:
		return 404, exports.Problem(*r)
	case *exports.DownloadExportNotFound:
		return 404, exports.Problem(*r)
	case *exports.DeleteExportNotFound:
		return 404, exports.Problem(*r)
	case *exports.ConflictHeaders:
		return 409, r.Response
	case *exports.DownloadExportGone:
		return 410, exports.Problem(*r)
	case *exports.CreateExportUnprocessableEntity:
		return 422, exports.Problem(*r)
	case *exports.ListExportsUnprocessableEntity:
		return 422, exports.Problem(*r)
	}
	must(fmt.Errorf("no refusal: %T %+v", answer, answer))
	return 0, p
}

func refusals(c *exports.Client) {
	unknown := uuid.New()
	get, file, remove := exports.GetExportParams{ID: unknown}, exports.DownloadExportParams{ID: unknown}, exports.DeleteExportParams{ID: unknown}
	window := exports.CreateExportParams{}
	window.CreatedAfter.SetTo(time.Now())
	window.CreatedBefore = window.CreatedAfter
	created, err := c.CreateExport(ctx, window)
	refused("createExport", "an empty window", created, err, 422, "INVALID_REQUEST")
	listed, err := c.ListExports(ctx, exports.ListExportsParams{Page: exports.NewOptInt32(0)})
	refused("listExports", "page 0", listed, err, 422, "INVALID_REQUEST")
	got, err := c.GetExport(ctx, get)
	refused("getExport", "unknown", got, err, 404, "EXPORT_NOT_FOUND")
	downloaded, err := c.DownloadExport(ctx, file)
	refused("downloadExport", "unknown", downloaded, err, 404, "EXPORT_NOT_FOUND")
	deleted, err := c.DeleteExport(ctx, remove)
	refused("deleteExport", "unknown", deleted, err, 404, "EXPORT_NOT_FOUND")

	stranger, reader, writer := client("MEMEXPORT_URL", "NO_KEY"), client("MEMEXPORT_URL", "API_KEY_READ"), client("MEMEXPORT_URL", "API_KEY_WRITE")
	for _, as := range []struct {
		status        int
		code          string
		reads, writes *exports.Client
	}{{401, "UNAUTHORIZED", stranger, stranger}, {403, "PERMISSION_DENIED", writer, reader}} {
		created, err := as.writes.CreateExport(ctx, exports.CreateExportParams{})
		refused("createExport", as.code, created, err, as.status, as.code)
		listed, err := as.reads.ListExports(ctx, exports.ListExportsParams{})
		refused("listExports", as.code, listed, err, as.status, as.code)
		got, err := as.reads.GetExport(ctx, get)
		refused("getExport", as.code, got, err, as.status, as.code)
		downloaded, err := as.reads.DownloadExport(ctx, file)
		refused("downloadExport", as.code, downloaded, err, as.status, as.code)
		deleted, err := as.writes.DeleteExport(ctx, remove)
		refused("deleteExport", as.code, deleted, err, as.status, as.code)
	}
}

// notReady tests a service that accepts exports but has no worker.
func notReady(c *exports.Client) {
	e := create(c, exports.CreateExportParams{})
	answer, err := c.DownloadExport(ctx, exports.DownloadExportParams{ID: e.ID})
	refused("downloadExport", "PENDING", answer, err, 409, "EXPORT_NOT_READY")
	remove(c, e.ID, "PENDING")
}

// expired tests a service whose exports expire after a second.
func expired(c *exports.Client) {
	e := until(c, create(c, exports.CreateExportParams{}).ID, exports.ExportStatusEXPIRED)
	answer, err := c.DownloadExport(ctx, exports.DownloadExportParams{ID: e.ID})
	refused("downloadExport", "EXPIRED", answer, err, 410, "EXPORT_EXPIRED")
}
