package devstack

import (
	"archive/zip"
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// archiveServer starts a server for downloads and makes the test's cache empty.
func archiveServer(t *testing.T, handler http.HandlerFunc) (url string) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	t.Setenv("XDG_CACHE_HOME", stackDir(t))
	t.Setenv("TMPDIR", t.TempDir()) // the Postgres library leaves its log in TMPDIR
	return server.URL
}

func TestPostgresIsFetchedOnce(t *testing.T) {
	archive, err := os.ReadFile("testdata/postgres.txz") // an archive of two shell scripts, named postgres and initdb
	if err != nil {
		t.Fatal(err)
	}
	var jar bytes.Buffer
	w := zip.NewWriter(&jar)
	f, err := w.Create("postgres-linux-x86_64.txz")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(archive); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var downloads int
	archives := archiveServer(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".sha256") {
			http.NotFound(w, r)
			return
		}
		downloads++
		_, _ = w.Write(jar.Bytes())
	})
	runAs, err := testAccount()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		found, err := fetchPostgres(t.Context(), runAs, archives, t.Logf)
		if err != nil {
			t.Fatal(err)
		}
		if version, err := found.version(t.Context(), runAs); err != nil || version != fetchMajor {
			t.Errorf("the downloaded version is %q, %v", version, err)
		}
	}
	if downloads != 1 {
		t.Errorf("there were %d downloads", downloads)
	}
}

func TestAFailedFetchSaysWhatToDo(t *testing.T) {
	archives := archiveServer(t, func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) })
	runAs, err := testAccount()
	if err != nil {
		t.Fatal(err)
	}
	_, err = fetchPostgres(t.Context(), runAs, archives, t.Logf)
	wantError(t, err, "postgres is not installed here", "`apt-get install postgresql`", "PATH")
}

// testAccount returns the user that Postgres runs as when this process starts it.
func testAccount() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	return accountFor("")
}
