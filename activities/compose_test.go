package activities_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"memexport/activities"
	"memexport/internal/service/archive"
	"memexport/internal/service/attempt"
	"memexport/internal/service/export"
	"memexport/internal/service/format"
)

// joiningS3 is an S3 store in memory that accepts multipart uploads of one piece. If refuses is true, it answers
// with an error when an upload is to be completed. TestStores uses real stores, and files of several pieces.
type joiningS3 struct {
	countingS3
	refuses bool
	piece   []byte
}

func (s *joiningS3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if !query.Has("uploads") && !query.Has("uploadId") {
		s.countingS3.ServeHTTP(w, r)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Content-Type", "application/xml")
	switch {
	case query.Has("uploads"):
		_, _ = io.WriteString(w, `<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>`)
	case r.Method == http.MethodPut:
		s.piece, _ = io.ReadAll(r.Body) // ignore the error, because the test would then find an incomplete file
		w.Header().Set("ETag", `"1"`)
	case r.Method == http.MethodDelete:
		w.WriteHeader(http.StatusNoContent)
	case s.refuses:
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `<Error><Code>InvalidPart</Code></Error>`)
	default:
		s.objects[strings.TrimPrefix(r.URL.Path, "/bucket/")] = s.piece
		_, _ = io.WriteString(w, `<CompleteMultipartUploadResult></CompleteMultipartUploadResult>`)
	}
}

func TestAFileIsOneObjectUnlessTheStoreRefusesToJoinItsParts(t *testing.T) {
	for name, refuses := range map[string]bool{"it joins them": false, "it refuses": true} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.fill(20)
			store := &joiningS3{countingS3: countingS3{objects: map[string][]byte{}, counts: map[string]int{}}, refuses: refuses}
			h.openS3(store, archive.Options{Compose: true})
			for _, f := range []*format.Format{format.JSON, format.Parquet} { // only Parquet has a footer
				id, plan := h.started(f)
				in := h.written(id, plan)
				in.Composed = must[archive.Composed](h, h.Compose, h.ref(id))
				must[activities.PublishResult](h, h.Publish, in)
				h.wantFile(id, f)
				e := h.find(id)
				if refuses {
					if e.FileObject != nil {
						t.Errorf("the %s file is the object %s", f.Name, *e.FileObject)
					}
				} else if e.FileObject == nil || string(store.objects[*e.FileObject]) != h.encoded(id, f) {
					t.Errorf("the %s file is not one object: %+v", f.Name, e)
				}
			}
			if warned := strings.Contains(h.warned.String(), "does not join parts"); warned != refuses {
				t.Errorf("the log says %q", h.warned)
			}
		})
	}
}

func TestAStoreThatFailsToComposeIsTriedAgain(t *testing.T) {
	h := newHarness(t)
	h.fill(20)
	id, plan := h.started(format.JSON)
	h.written(id, plan)
	h.openS3(http.NotFoundHandler(), archive.Options{Compose: true})
	_, err := do[archive.Composed](h, h.Compose, h.ref(id))
	wantRetryable(t, err, attempt.TypeStorageUnavailable)
	if strings.Contains(h.warned.String(), "stays in parts") {
		t.Errorf("the log says %q", h.warned)
	}
	h.wantStatus(id, export.Processing)
}
