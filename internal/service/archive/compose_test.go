package archive

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestPiecesCoverTheFileAndAreLargeEnough(t *testing.T) {
	random := rand.New(rand.NewPCG(8, 9))
	for range 2000 {
		file := &File{}
		for range random.IntN(12) {
			size := []int64{1, 3, minPiece - 1, minPiece, 8 << 20, 9 << 20, 1 + random.Int64N(9<<20)}[random.IntN(7)]
			switch random.IntN(5) {
			case 0:
				file.addLiteral(strings.Repeat("x", random.IntN(3)))
			case 1:
				file.addPart(Part{Object: "compressed", Size: size, CompressedSize: 1 + size/4}, 0)
			default:
				file.addPart(Part{Object: "plain", Size: size}, random.Int64N(min(size, 3)))
			}
		}
		all := pieces(file.segments)
		var got []segment
		for i, p := range all {
			var size int64
			for _, s := range p.segments {
				size += s.size
			}
			got = append(got, p.segments...)
			if size < minPiece && i < len(all)-1 {
				t.Fatalf("piece %d of %d has %d bytes", i, len(all), size)
			}
			if !p.copied && size >= minPiece+9<<20 {
				t.Fatalf("an uploaded piece has %d bytes", size)
			}
			if s := p.segments[0]; p.copied && (len(p.segments) != 1 || s.object != "plain" || s.inflate) {
				t.Fatalf("%+v is copied", p)
			}
		}
		if !reflect.DeepEqual(got, file.segments) {
			t.Fatalf("the pieces hold %+v, want %+v", got, file.segments)
		}
	}
}

// If Compose were allowed on other stores, the API would redirect clients to a store that cannot
// serve the file.
func TestOnlyS3Composes(t *testing.T) {
	a, _ := open(t)
	part := put(t, a, 0, []byte("data"))
	_, err := a.Compose(t.Context(), exportID, marks, []Part{part})
	_, signErr := a.SignedURL(t.Context(), part.Object, time.Minute, "data")
	if checkErr := a.CheckCompose(t.Context()); err == nil || signErr == nil || checkErr == nil {
		t.Errorf("Compose: %v; SignedURL: %v; CheckCompose: %v", err, signErr, checkErr)
	}
}

// S3 sends the status of a copy before it copies. If a proxy loses what follows, the client sees an empty answer.
func TestAnEmptyAnswerToACopyIsAnError(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "a")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "b")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		switch {
		case r.Method == http.MethodPost && r.URL.Query().Has("uploads"):
			fmt.Fprint(w, `<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>`)
		case r.Header.Get("X-Amz-Copy-Source") != "":
			fmt.Fprint(w, " \n")
		case r.Method == http.MethodPut:
			w.Header().Set("ETag", `"e"`)
		case r.Method == http.MethodDelete:
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	defer server.Close()
	a, err := Open(t.Context(), "s3://bucket?region=us-east-1&use_path_style=true&endpoint="+server.URL, Options{Compose: true})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if err := a.CheckCompose(t.Context()); !errors.Is(err, errNoETag) {
		t.Errorf("CheckCompose: %v, want %v", err, errNoETag)
	}
}
