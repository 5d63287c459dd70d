package activities_test

import (
	"errors"
	"net/http"
	"testing"

	"memexport/activities"
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
	h.wantStoreFull()

	h.open("file://"+h.dir, archive.Options{})
	if written, err := do[export.Written](h, h.WriteRange, in); err != nil || written.Memories != 20 {
		t.Errorf("with room, the next attempt wrote %+v: %v", written, err)
	}
}

func TestAStoreWithoutRoomForTheFooterIsRecorded(t *testing.T) {
	for name, write := range map[string]func(h *harness, in activities.PublishInput) error{
		"Compose": func(h *harness, in activities.PublishInput) error {
			_, err := do[archive.Composed](h, h.Compose, h.ref(in.ExportID))
			return err
		},
		"Publish": func(h *harness, in activities.PublishInput) error {
			_, err := do[activities.PublishResult](h, h.Publish, in)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.fill(20)
			id, plan := h.started(format.Parquet)
			in := h.written(id, plan)
			h.openS3(http.HandlerFunc(fullStore), archive.Options{})
			wantRetryable(t, write(h, in), attempt.TypeStorageFull)
			h.wantStatus(id, export.Processing)
			h.wantStoreFull()
		})
	}
}

// wantStoreFull checks that new exports are refused because the store is full.
func (h *harness) wantStoreFull() {
	h.Helper()
	fresh := export.NewStore(h.db) // fresh acts like the export.Store of another process, which has not read yet whether the bucket is full
	if _, err := fresh.Create(h.Context(), export.Export{WorkspaceID: workspaceID, Format: "json"}); !errors.Is(err, export.ErrStoreFull) {
		h.Errorf("a new export: %v", err)
	}
}
