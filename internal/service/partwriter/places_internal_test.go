package partwriter

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"memexport/internal/service/archive"
	"memexport/internal/service/format"
	"memexport/internal/service/memory"
)

// A range that waits for memories, because few of them match its filter, must not slow down the others.
func TestOnlyPartsThatAreReadyTakeSharedPlaces(t *testing.T) {
	arrived := make(chan string, 100)
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // stores nothing until the request is cancelled
		_, _ = io.Copy(io.Discard, r.Body)
		arrived <- r.URL.Path
		<-r.Context().Done()
	}))
	defer store.Close()
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	bucket, err := archive.Open(t.Context(), "s3://bucket?region=us-east-1&use_path_style=true&endpoint="+store.URL, archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer bucket.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	var ranges []*encoder
	start := func() *encoder {
		u := uploader{archive: bucket, exportID: "0190a000-0000-4000-8000-000000000001", format: format.NDJSON, rangeNumber: len(ranges)}
		e := startEncoder(ctx, format.NDJSON, 1<<10, u)
		ranges = append(ranges, e)
		return e
	}
	addPart := func(e *encoder) error {
		return e.add(&memory.Memory{ID: []byte("0192f0c1-7a3e-7c44-9b1d-000000000001"), Text: bytes.Repeat([]byte("a"), 1<<10)})
	}
	arrive := func() {
		t.Helper()
		select {
		case <-arrived:
		case <-time.After(30 * time.Second):
			t.Fatal("a part does not arrive at the store")
		}
	}
	shared := bucket.ExtraUploads()
	for range cap(shared) { // each of these ranges stores a part, and waits for memories
		if err := addPart(start()); err != nil {
			t.Fatal(err)
		}
		arrive()
	}
	busy := start()
	for range 1 + cap(shared) {
		if err := addPart(busy); err != nil {
			t.Fatalf("%d of %d shared places are taken: %v", len(shared), cap(shared), err)
		}
		arrive()
	}
	var pause *memory.Pause
	if err := addPart(busy); !errors.As(err, &pause) {
		t.Errorf("%d parts are being stored, and adding another one returns %v", 1+cap(shared), err)
	}
	cancel()
	for _, e := range ranges {
		if _, err := e.wait(); err == nil {
			t.Error("an upload that was cancelled has no error")
		}
	}
	if len(shared) != 0 || len(arrived) != 0 {
		t.Errorf("%d shared places are still taken, and %d more parts have arrived", len(shared), len(arrived))
	}
}
