package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/google/uuid"
)

func TestPutStoresTheBytesAndNothingElse(t *testing.T) {
	a, dir := open(t)
	want := map[string]string{}
	for i, data := range []string{"one", "two", "", strings.Repeat("large", 1<<20)} {
		p, err := a.Put(t.Context(), exportID, i%2, i, []byte(data))
		if err != nil {
			t.Fatal(err)
		}
		if p.Size != int64(len(data)) || p.Checksum != xxhash.Sum64String(data) || p.Continues || !strings.HasPrefix(p.Object, "exports/"+exportID+"/") {
			t.Errorf("%+v", p)
		}
		want[p.Object] = data
	}
	mustHave(t, files(t, dir), want) // no sidecars, no temporary files
}

func TestPutOverwritesOnlyTheSameBytes(t *testing.T) {
	a, dir := open(t)
	first, again, other := put(t, a, 5, []byte("data")), put(t, a, 5, []byte("data")), put(t, a, 5, []byte("late"))
	if first != again || other.Object == first.Object {
		t.Errorf("%v, %v, %v", first, again, other)
	}
	mustHave(t, files(t, dir), map[string]string{first.Object: "data", other.Object: "late"})
}

func TestACancelledPutLeavesNothing(t *testing.T) {
	a, dir := open(t)
	if _, err := a.Put(cancelled(), exportID, 0, 0, []byte("data")); !errors.Is(err, context.Canceled) {
		t.Errorf("Put: %v", err)
	}
	mustHave(t, files(t, dir), map[string]string{})
	for range 30 { // cancelled at a random moment
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { cancel(); close(done) }()
		p, err := a.Put(ctx, exportID, 0, 1, make([]byte, 1<<20))
		<-done
		found := files(t, dir)
		if err == nil {
			if _, ok := found[p.Object]; !ok || len(found) != 1 {
				t.Fatal("a Put that succeeded left nothing, or more than its part")
			}
			_ = os.Remove(filepath.Join(dir, p.Object))
		} else if len(found) != 0 {
			t.Fatalf("a Put that failed (%v) left %d files", err, len(found))
		}
	}
}

func TestDeleteExportLeavesNothing(t *testing.T) {
	a, dir := open(t)
	for i := range 40 { // more objects than are deleted at the same time
		put(t, a, i, []byte("data"))
	}
	put(t, a, 3, []byte("orphan"))
	other, err := a.Put(t.Context(), exportID+"0", 0, 0, []byte("an export whose ID begins with the other ID"))
	if err != nil {
		t.Fatal(err)
	}
	leftover := filepath.Join(dir, "exports", exportID, "000-000000-half.0123.tmp") // left by a process that was killed
	if err := os.WriteFile(leftover, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := a.DeleteExport(t.Context(), exportID); err != nil {
			t.Fatal(err)
		}
	}
	mustHave(t, files(t, dir), map[string]string{other.Object: "an export whose ID begins with the other ID"})
	if _, err := os.Stat(filepath.Join(dir, "exports", exportID)); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the directory is still there:", err)
	}
	put(t, a, 0, []byte("again")) // the directory can be created again
	if err := a.DeleteExport(cancelled(), exportID); err == nil && len(files(t, dir)) != 1 {
		t.Error("a cancelled deletion reports success but left objects")
	}
}

func TestDeleteExportGoesOnAfterAnObjectThatTheStoreRefusesToDelete(t *testing.T) {
	const held = 3
	var mu sync.Mutex
	left := map[string]bool{}
	for i := range 40 { // more objects than are deleted at the same time
		left[fmt.Sprintf("exports/%s/%03d", exportID, i)] = true
	}
	hold := fmt.Sprintf("exports/%s/%03d", exportID, held)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		key := strings.TrimPrefix(r.URL.Path, "/bucket/")
		switch {
		case r.URL.Query().Has("list-type"):
			w.Header().Set("Content-Type", "application/xml")
			fmt.Fprint(w, `<ListBucketResult><IsTruncated>false</IsTruncated>`)
			for _, key := range slices.Sorted(maps.Keys(left)) {
				fmt.Fprintf(w, `<Contents><Key>%s</Key><Size>1</Size><LastModified>2026-01-01T00:00:00Z</LastModified></Contents>`, key)
			}
			fmt.Fprint(w, `</ListBucketResult>`)
		case r.Method == http.MethodDelete && key == hold:
			w.WriteHeader(http.StatusForbidden) // as for an object under a legal hold
		case r.Method == http.MethodDelete:
			delete(left, key)
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	t.Cleanup(server.Close)
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	a, err := Open(t.Context(), "s3://bucket?region=us-east-1&use_path_style=true&endpoint="+server.URL, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	if err := a.DeleteExport(t.Context(), exportID); !Denied(err) {
		t.Errorf("the error is %v, want the refusal", err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(left) != 1 || !left[hold] {
		t.Errorf("%d objects are left, want only the one that the store holds", len(left))
	}
}

func TestExportsListsEveryExportOnce(t *testing.T) {
	a, dir := open(t)
	var want []string
	list := func() (got []string) {
		err := a.Exports(t.Context(), func(id string) error { got = append(got, id); return nil })
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(got)
		return got
	}
	if got := list(); len(got) != 0 {
		t.Errorf("an empty bucket has %v", got)
	}
	for range 5 {
		id := uuid.NewString()
		want = append(want, id)
		for i := range 3 {
			if _, err := a.Put(t.Context(), id, i, i, []byte("data")); err != nil {
				t.Fatal(err)
			}
		}
	}
	slices.Sort(want)
	for name, data := range map[string]string{"exports/file": "x", "elsewhere/x/y": "x", "exports/no-uuid/x": "x"} { // files that are not part of an export
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(data), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if got := list(); !slices.Equal(got, want) {
		t.Errorf("listed %v, want %v", got, want)
	}
	enough := errors.New("enough")
	if err := a.Exports(t.Context(), func(string) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("Exports: %v", err)
	}
}

// A walk through the whole tree for each page of a listing would take too long. So Exports must not look into the
// directories of the exports, and lists an empty one too.
func TestExportsOfADirectoryReadsOnlyTheNames(t *testing.T) {
	dir := t.TempDir()
	a, err := Open(t.Context(), "file://"+filepath.ToSlash(dir)+"?prefix=team/a/", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	want := map[string]bool{}
	for range 2*listPageSize + 1 {
		id := uuid.NewString()
		want[id] = true
		for _, path := range []string{filepath.Join(dir, "team", "a", "exports", id), filepath.Join(dir, "exports", uuid.NewString())} {
			if err := os.MkdirAll(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}
	}
	n := 0
	err = a.Exports(t.Context(), func(id string) error {
		if n++; !want[id] {
			t.Error("listed", id)
		}
		return os.Remove(filepath.Join(dir, "team", "a", "exports", id)) // as a sweep does
	})
	if err != nil || n != len(want) {
		t.Errorf("listed %d of %d: %v", n, len(want), err)
	}
}

func TestLastWrittenIsTheTimeOfTheNewestObject(t *testing.T) {
	a, dir := open(t)
	if last, err := a.LastWritten(t.Context(), exportID); err != nil || !last.IsZero() {
		t.Errorf("LastWritten of no objects: %v, %v", last, err)
	}
	newest := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for i, age := range []time.Duration{time.Hour, 0, 2 * time.Hour} {
		p := put(t, a, i, []byte(fmt.Sprint(i)))
		if err := os.Chtimes(filepath.Join(dir, p.Object), newest, newest.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	if last, err := a.LastWritten(t.Context(), exportID); err != nil || !last.Equal(newest) {
		t.Errorf("written at %v, want %v: %v", last, newest, err)
	}
}

func TestOpenRejectsAnUnusableBucketURL(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, bucket := range []string{"", "nonsense", "ftp://host/x", "://", "file://" + file, "file://" + file + "/below", "file:///tmp?unknown=1", "s3://b?unknown=1"} {
		if a, err := Open(t.Context(), bucket, Options{}); err == nil {
			a.Close()
			t.Errorf("Open(%q) succeeds", bucket)
		}
	}
}

func TestOpenCreatesTheDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b", "ü")
	a, err := Open(t.Context(), "file://"+strings.ReplaceAll(dir, " ", "%20"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if err := a.Check(t.Context()); err != nil {
		t.Error(err)
	}
	p := put(t, a, 0, []byte("data"))
	if got, err := io.ReadAll(a.File(t.Context(), bare, []Part{p})); string(got) != "data" || err != nil {
		t.Error(string(got), err)
	}
	if err := a.DeleteExport(t.Context(), exportID); err != nil {
		t.Error(err)
	}
}

func TestDeniedMatchesRefusalsOnly(t *testing.T) {
	a, dir := open(t)
	// A file in the place of the directory causes an error that is not about permissions, even for
	// root.
	if err := os.WriteFile(filepath.Join(dir, "exports"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Put(t.Context(), exportID, 0, 0, []byte("data")); err == nil || Denied(err) {
		t.Errorf("a file in the way: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "exports")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(dir, 0o700) //nolint:errcheck // the test's cleanup must be able to delete dir
	_, err := a.Put(t.Context(), exportID, 0, 0, []byte("data"))
	if os.Geteuid() == 0 { // file modes do not restrict root
		err = fmt.Errorf("wrapped: %w", &fs.PathError{Op: "mkdir", Path: dir, Err: fs.ErrPermission})
	}
	if !Denied(err) {
		t.Errorf("a directory without write permission: %v", err)
	}
	for _, err := range []error{nil, io.EOF, context.Canceled, fs.ErrNotExist, ErrCorrupt} {
		if Denied(err) {
			t.Errorf("%v counts as a refusal", err)
		}
	}
}
