package activities_test

import (
	"errors"
	"net/http"
	"testing"

	"memexport/internal/service/archive"
	"memexport/internal/service/attempt"
	"memexport/internal/service/export"
	"memexport/internal/service/format"
)

// fullStore answers like MinIO, an S3 store, when it has no space left.
func fullStore(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPut {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(http.StatusInsufficientStorage)
	_, _ = w.Write([]byte(`<Error><Code>XMinioStorageFull</Code><Message>Storage backend has reached its minimum free drive threshold.</Message></Error>`))
}

func TestAFullStoreIsRecordedAndTriedAgain(t *testing.T) {
	h := newHarness(t)
	h.fill(20)
	in := h.oneRange(format.JSON)
	h.openS3(http.HandlerFunc(fullStore), archive.Options{})

	_, err := do[export.Written](h, h.WriteRange, in)
	wantRetryable(t, err, attempt.TypeStorageFull)
	h.wantStatus(in.ExportID, export.Processing)
	fresh := export.NewStore(h.db) // fresh acts like the export.Store of another process, which has not read yet whether the bucket is full
	if _, err := fresh.Create(h.Context(), export.Export{WorkspaceID: workspaceID, Format: "json"}); !errors.Is(err, export.ErrStoreFull) {
		t.Errorf("a new export: %v", err)
	}

	h.open("file://"+h.dir, archive.Options{})
	if written, err := do[export.Written](h, h.WriteRange, in); err != nil || written.Memories != 20 {
		t.Errorf("with room, the next attempt wrote %+v: %v", written, err)
	}
}
