package api

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/google/uuid"

	"memexport/internal/service/export"
	"memexport/internal/service/format"
	"memexport/internal/service/memory"
)

// Export is an export job as its owner sees it. The fields of the filter are null where nothing is
// filtered.
type Export struct {
	ID     string        `json:"id" format:"uuid" doc:"The id of the export."`
	Format exportFormat  `json:"format" doc:"The format of the file."`
	Status export.Status `json:"status" doc:"Where the export stands."`
	memory.Filter
	CreatedAt   time.Time    `json:"created_at" doc:"When the export was requested."`
	UpdatedAt   time.Time    `json:"updated_at" doc:"When its status changed last."`
	StartedAt   *time.Time   `json:"started_at" doc:"When it became PROCESSING."`
	CompletedAt *time.Time   `json:"completed_at" doc:"When it became READY or FAILED."`
	ExpiresAt   *time.Time   `json:"expires_at" doc:"When the file of a READY export stops being available."`
	MemoryCount int64        `json:"memory_count" minimum:"0" maximum:"9007199254740991" doc:"How many memories have been written so far; once READY, how many the file has."`
	SizeBytes   *int64       `json:"size_bytes" minimum:"0" maximum:"9007199254740991" doc:"The size of the file, once READY."`
	SHA256      *string      `json:"sha256" pattern:"^[0-9a-f]{64}$" doc:"The SHA-256 of the file in hexadecimal, once READY."`
	Progress    int          `json:"progress" format:"int32" minimum:"0" maximum:"100" doc:"Percent of the memories that have been written. It never falls, and is 100 only when READY."`
	Error       *ExportError `json:"error" doc:"Why the export is FAILED."`
}

// ExportError says why an export failed.
type ExportError struct {
	Code      string `json:"code" doc:"What happened, for programs. Codes never change their meaning; new ones may be added."`
	Message   string `json:"message" doc:"What happened, for people. Its wording may change."`
	Retryable bool   `json:"retryable" doc:"Whether a new export with the same parameters may well succeed."`
}

func view(e export.Export) Export {
	v := Export{
		ID: e.ID, Format: exportFormat(e.Format), Status: e.Status, Filter: e.Filter,
		CreatedAt: e.CreatedAt, UpdatedAt: e.UpdatedAt, StartedAt: e.StartedAt, CompletedAt: e.CompletedAt, ExpiresAt: e.ExpiresAt,
		MemoryCount: e.MemoryCount, SizeBytes: e.SizeBytes, SHA256: e.SHA256, Progress: e.Progress,
	}
	if e.Failure != nil {
		v.Error = &ExportError{Code: e.Failure.Code, Message: e.Failure.Message, Retryable: e.Failure.Retryable}
	}
	return v
}

// defaultFormat is what an export has if nobody says otherwise.
var defaultFormat = exportFormat(format.All[0].Name)

type createInput struct {
	Format         exportFormat `query:"format"`
	IdempotencyKey string       `header:"Idempotency-Key" minLength:"1" maxLength:"255" pattern:"^[ -~]+$" example:"nightly-2026-01-15" doc:"A name for this request of up to 255 printable ASCII characters, chosen by the client, so that it can be repeated safely: the same key with the same parameters answers with the same export, whatever has become of it; with other parameters it is refused. A key is free again when its export is deleted."`
	filter         memory.Filter
}

// Resolve checks and reads what the struct tags of Huma cannot express.
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

func (s *server) createExport(ctx context.Context, in *createInput) (*createOutput, error) {
	wanted := export.Export{WorkspaceID: workspace(ctx), Format: string(cmp.Or(in.Format, defaultFormat)), Filter: in.filter}
	if in.IdempotencyKey != "" {
		wanted.IdempotencyKey = &in.IdempotencyKey
	}
	bounded, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	e, err := s.exports.Create(bounded, wanted)
	if err != nil {
		return nil, s.problem(ctx, err)
	}
	requestOf(ctx).export = e.ID
	if e.Status == export.Pending { // a repeated request may find it anywhere
		s.start(ctx, e)
	}
	return &createOutput{Location: "/v1/exports/" + e.ID, RetryAfter: retryAfter(e), Body: view(e)}, nil
}

// start starts the workflow. The row is the outbox: if this fails, the reconciler starts it later.
func (s *server) start(ctx context.Context, e export.Export) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), temporalTimeout)
	defer cancel()
	if err := s.starter.Start(ctx, e); err != nil {
		s.log.WarnContext(ctx, "the workflow could not be started; it will be later", append(requestOf(ctx).attrs(), "error", err)...)
	}
}

type listInput struct {
	Page     int `query:"page" format:"int32" minimum:"1" maximum:"1000000" default:"1" doc:"The number of the page, from 1."`
	PageSize int `query:"page_size" format:"int32" minimum:"1" maximum:"100" default:"20" doc:"How many exports a page has."`
}

type listOutput struct {
	Link string `header:"Link" hidden:"true"`
	Body ExportList
}

// ExportList is one page of a workspace's exports.
type ExportList struct {
	Data []Export `json:"data" maxItems:"100" doc:"The exports, newest first."`
	Meta ListMeta `json:"meta"`
}

// ListMeta says where a page is in the list.
type ListMeta struct {
	CurrentPage int `json:"current_page" format:"int32" minimum:"1" maximum:"1000000" doc:"The number of this page."`
	PerPage     int `json:"per_page" format:"int32" minimum:"1" maximum:"100" doc:"How many exports a page has."`
	Total       int `json:"total" minimum:"0" maximum:"9007199254740991" doc:"How many exports there are on all pages."`
	LastPage    int `json:"last_page" minimum:"1" maximum:"9007199254740991" doc:"The number of the last page; 1 if there are no exports."`
}

func (s *server) listExports(ctx context.Context, in *listInput) (*listOutput, error) {
	bounded, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	exports, total, err := s.exports.List(bounded, workspace(ctx), in.Page, in.PageSize)
	if err != nil {
		return nil, s.problem(ctx, err)
	}
	out := &listOutput{Body: ExportList{
		Data: make([]Export, len(exports)),
		Meta: ListMeta{CurrentPage: in.Page, PerPage: in.PageSize, Total: total, LastPage: max(1, (total+in.PageSize-1)/in.PageSize)},
	}}
	for i, e := range exports {
		out.Body.Data[i] = view(e)
	}
	out.Link = links(out.Body.Meta)
	return out, nil
}

// links are the pages that there are from here, after RFC 8288. They are relative: this process
// cannot know under which address its clients see it.
func links(m ListMeta) string {
	var links []string
	add := func(rel string, page int) {
		links = append(links, fmt.Sprintf(`</v1/exports?page=%d&page_size=%d>; rel=%q`, page, m.PerPage, rel))
	}
	add("first", 1)
	if m.CurrentPage > 1 {
		add("prev", min(m.CurrentPage-1, m.LastPage))
	}
	if m.CurrentPage < m.LastPage {
		add("next", m.CurrentPage+1)
	}
	add("last", m.LastPage)
	return strings.Join(links, ", ")
}

type getInput struct {
	ID     string `path:"id"`
	Prefer string `header:"Prefer" example:"wait=30" doc:"With wait=N (RFC 7240) the answer is held back until the export is READY, FAILED or EXPIRED, or N seconds have passed, at most 60. Anything else is ignored."`
}

type getOutput struct {
	RetryAfter        string `header:"Retry-After" hidden:"true"`
	PreferenceApplied string `header:"Preference-Applied" hidden:"true"`
	Body              Export
}

func (s *server) getExport(ctx context.Context, in *getInput) (*getOutput, error) {
	e, err := s.find(ctx, in.ID)
	if err != nil {
		return nil, s.problem(ctx, err)
	}
	out := &getOutput{}
	if wait, ok := preferredWait(in.Prefer); ok {
		out.PreferenceApplied = fmt.Sprintf("wait=%d", int(wait.Seconds()))
		if e, err = s.await(ctx, e, wait); err != nil {
			return nil, s.problem(ctx, err)
		}
	}
	if !e.Status.Terminal() {
		out.RetryAfter = retryAfter(e)
	}
	out.Body = view(e)
	return out, nil
}

type deleteInput struct {
	ID string `path:"id"`
}

func (s *server) deleteExport(ctx context.Context, in *deleteInput) (*struct{}, error) {
	id, err := canonical(in.ID)
	if err != nil {
		return nil, s.problem(ctx, err)
	}
	requestOf(ctx).export = id
	bounded, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if err := s.exports.Delete(bounded, workspace(ctx), id); err != nil {
		return nil, s.problem(ctx, err)
	}
	// From here on the export is gone for its owner. Its workflow and objects are cleared away by the
	// reconciler if this fails.
	temporal, cancel := context.WithTimeout(context.WithoutCancel(ctx), temporalTimeout)
	defer cancel()
	if err := s.starter.Cancel(temporal, id); err != nil {
		s.log.WarnContext(ctx, "the workflow could not be cancelled; it will be later", append(requestOf(ctx).attrs(), "error", err)...)
	}
	return nil, nil
}

// find returns the caller's export with this id.
func (s *server) find(ctx context.Context, id string) (export.Export, error) {
	id, err := canonical(id)
	if err != nil {
		return export.Export{}, err
	}
	requestOf(ctx).export = id
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return s.exports.Get(ctx, workspace(ctx), id)
}

// canonical returns an id in lower case. What is no UUID, or one in braces or with a prefix, is the
// id of no export.
func canonical(id string) (string, error) {
	parsed, err := uuid.Parse(id)
	if err != nil || len(id) != 36 {
		return "", export.ErrNotFound
	}
	return parsed.String(), nil
}

// retryAfter is when asking again is worth while, in seconds: the longer it has taken, the longer
// it will.
func retryAfter(e export.Export) string {
	return strconv.Itoa(int(min(max(time.Since(e.CreatedAt)/10, time.Second), 30*time.Second) / time.Second))
}
