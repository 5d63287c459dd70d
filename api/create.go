package api

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"memexport/internal/service/apikey"
	"memexport/internal/service/audit"
	"memexport/internal/service/export"
	"memexport/internal/service/memory"
)

func createOperation() huma.Operation {
	formatParam := &huma.Param{Name: "format", In: "query", Description: "The format of the file.",
		Schema: &huma.Schema{Ref: schemaPrefix + "ExportFormat", Default: defaultFormat}, Example: "csv"}
	return operation(huma.Operation{
		OperationID: "createExport",
		Method:      http.MethodPost,
		Path:        "/v1/exports",
		Summary:     "Create an export",
		Description: "Creates an export job. All query parameters are optional: the filters are combined with AND, and without any, all memories of the workspace are exported. " +
			"A parameter that is unknown, empty or given twice is refused, so that no typing error exports more than was meant; so is a body, which has no meaning here.\n\n" +
			"A workspace runs a few exports at the same time; later ones wait as `PENDING`, in the order of their creation. A workspace that has too many unfinished exports, or too many bytes stored, is refused with 429 until that has changed. " +
			"Repeating a request with its Idempotency-Key is never refused for that.\n\n" +
			"The export is processed asynchronously: poll it at the `Location` until its status is `READY`, then download the file.",
		DefaultStatus: http.StatusAccepted,
		Parameters:    append([]*huma.Param{formatParam}, filterDocs()...),
		Responses: map[string]*huma.Response{
			"202": {Description: "The export was accepted. For a repeated Idempotency-Key: the export of the first request.",
				Headers: headerRefs("Location", "Retry-After"), Content: jsonExample("pending", "Just accepted.", pendingExample())},
		},
	}, apikey.WriteExports)
}

type createInput struct {
	Format         exportFormat `query:"format"`
	IdempotencyKey string       `header:"Idempotency-Key" minLength:"1" maxLength:"255" pattern:"^[ -~]+$" example:"nightly-2026-01-15" doc:"A name for this request of up to 255 printable ASCII characters, chosen by the client, so that it can be repeated safely: the same key with the same parameters answers with the same export, whatever has become of it; with other parameters it is refused. Once the objects of that export have been deleted, its parameters are erased and no longer compared. A key is free again when its export is deleted, or removed from the history of exports."`
	filter         memory.Filter
}

// Resolve reads and checks the parts of the request that struct tags of Huma cannot describe.
func (in *createInput) Resolve(ctx huma.Context) []error {
	r, _ := humago.Unwrap(ctx)
	filter, errs := parseFilter(r.URL.Query())
	in.filter = filter
	if keys := r.Header.Values("Idempotency-Key"); len(keys) > 1 || len(keys) == 1 && keys[0] == "" {
		errs = append(errs, &huma.ErrorDetail{Location: "header.Idempotency-Key", Message: "must be given once and not be empty, or be left out"})
	}
	if err := refuseBody(ctx); err != nil {
		errs = append(errs, err)
	}
	return errs
}

type createOutput struct {
	Location   string `header:"Location" hidden:"true"`
	RetryAfter string `header:"Retry-After" hidden:"true"`
	Body       Export
}

func (s *service) createExport(ctx context.Context, in *createInput) (*createOutput, error) {
	wanted := export.Export{WorkspaceID: workspaceOf(ctx), Format: string(cmp.Or(in.Format, defaultFormat)), Filter: in.filter,
		CreatedBy: infoOf(ctx).keyID, TraceParent: traceParent(ctx)}
	if in.IdempotencyKey != "" {
		wanted.IdempotencyKey = &in.IdempotencyKey
	}
	bounded, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	e, err := s.exports.Create(bounded, wanted)
	if err != nil {
		return nil, s.problem(ctx, err)
	}
	infoOf(ctx).exportID = e.ID
	s.recordDone(ctx, audit.Create)
	// Do not start an export that still waits in the workspace's queue (DispatchedAt is nil): its turn
	// comes when an earlier export ends. With an Idempotency-Key, e may be the export of an earlier
	// request, and may no longer be PENDING.
	if e.Status == export.Pending && e.DispatchedAt != nil {
		s.start(ctx, e)
	}
	return &createOutput{Location: "/v1/exports/" + e.ID, RetryAfter: retryAfter(e), Body: view(e)}, nil
}

// startPatience is how long the API goes on trying to start a workflow after it has answered the request.
// A busy Temporal server answers within seconds. If the API gave up at once, the export would wait about
// a minute, until the reconciler starts the workflow.
const startPatience = 30 * time.Second

// start starts the workflow of an export. If that takes longer than temporalTimeout, start returns and the
// attempt goes on in the background. A failure is only logged: the row is in the database, and the
// reconciler starts the workflow of every row that has none.
func (s *service) start(ctx context.Context, e export.Export) {
	attrs := infoOf(ctx).attrs()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), startPatience)
	started := make(chan struct{})
	go func() {
		defer cancel()
		defer close(started)
		if err := s.starter.Start(ctx, e); err != nil {
			s.log.WarnContext(ctx, "the workflow could not be started; the reconciler will start it", append(attrs, "error", err)...)
		}
	}()
	select {
	case <-started:
	case <-time.After(temporalTimeout):
		s.log.WarnContext(ctx, "the workflow could not be started in time; trying on in the background", attrs...)
	}
}

const (
	maxBody     = 64 << 10         // bytes; enough for an empty JSON object with white space around it
	bodyTimeout = 10 * time.Second // for a body of at most 64 KiB
)

// refuseBody returns an error unless the body is empty or an empty JSON object. It refuses a body with
// filters instead of ignoring it, because the export would contain more memories than the caller meant.
func refuseBody(ctx huma.Context) error {
	r, _ := humago.Unwrap(ctx)
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	// Do not remove the deadline afterwards: it also limits how long net/http reads the rest of a longer
	// body. net/http removes the deadline at the end of the body.
	_ = ctx.SetReadDeadline(time.Now().Add(bodyTimeout)) // ignore the error, because some connections do not support deadlines
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	var object map[string]any
	switch {
	case err != nil:
		return &huma.ErrorDetail{Location: "body", Message: "the body could not be read"}
	case len(body) == 0:
		return nil
	case len(body) <= maxBody && json.Unmarshal(body, &object) == nil && object != nil && len(object) == 0:
		return nil
	}
	return &huma.ErrorDetail{Location: "body", Message: "the body must be empty or {}: the parameters go into the query string"}
}
