package api

import (
	"maps"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"memexport/internal/service/export"
	"memexport/internal/service/memory"
)

// Export is an export job as its owner sees it. A field of the filter is null if the export is not
// filtered by this field, or if the export's objects have been deleted.
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
	Progress    int          `json:"progress" format:"int32" minimum:"0" maximum:"100" doc:"About how much of the work is done, in percent. It never falls, and is 100 only once the export has become READY. The number of memories is an estimate, so the last tenth may take longer than the others."`
	Error       *ExportError `json:"error" doc:"Why the export is FAILED."`
}

// ExportError says why an export failed.
type ExportError struct {
	Code      string `json:"code" doc:"What happened, for programs. Codes never change their meaning; new ones may be added."`
	Message   string `json:"message" doc:"What happened, for people. Its wording may change."`
	Retryable bool   `json:"retryable" doc:"Whether a new export with the same parameters may well succeed."`
}

// view returns e in the form in which its owner sees it.
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

// retryAfter returns how many seconds a client should wait before it asks for e again: a tenth of the age
// of e, from 1 to 30. An export that has already taken long will probably take longer still.
func retryAfter(e export.Export) string {
	return strconv.Itoa(int(min(max(time.Since(e.CreatedAt)/10, time.Second), 30*time.Second) / time.Second))
}

// TransformSchema makes references nullable with anyOf, because this is the only form that all tested
// client generators understand.
func (Export) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	for _, field := range reflect.VisibleFields(reflect.TypeFor[Export]()) {
		property := s.Properties[field.Tag.Get("json")]
		if property == nil {
			continue // this is the embedded filter
		}
		if len(field.Index) > 1 { // this is a field of the filter
			property.Description += " Null if the export is not filtered by it, and once its objects have been deleted: the filter is erased with them."
		}
		if field.Type.Kind() == reflect.Pointer && property.Ref != "" {
			property.AnyOf = []*huma.Schema{{Ref: property.Ref}, {Type: "null"}}
			property.Ref = ""
		}
	}
	return s
}

// TransformSchema lists the error codes in an extension of the schema, not in an enum. With an enum,
// clients would refuse codes that are added later.
func (ExportError) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	s.Properties["code"].Extensions = map[string]any{"x-extensible-enum": slices.Sorted(maps.Keys(export.Failures))}
	return s
}
