package api_test

import (
	"crypto/sha256"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"memexport/api"
	"memexport/internal/service/apikey"
	"memexport/internal/service/archive"
	"memexport/internal/service/export"
)

// newRedirecting returns a service that redirects downloads to an S3 store. The store cannot be reached.
// That does not matter, because the API signs URLs without asking the store.
func newRedirecting(t *testing.T) *service {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test-secret-of-the-store")
	a, err := archive.Open(t.Context(), "s3://bucket?endpoint=http://127.0.0.1:1&region=us-east-1&use_path_style=true&prefix=some/folder/", archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return newService(t, func(o *api.Options) { o.Archive, o.Redirect = a, true })
}

// composed creates a READY export that contains no memories. object is the key of the object that is
// recorded as holding the whole file. If object is empty, no such object is recorded.
func (s *service) composed(t *testing.T, retention time.Duration, object string) export.Export {
	t.Helper()
	e := s.create(t, "csv")
	s.process(t, e.ID)
	sum := sha256.Sum256([]byte(csvHeader))
	e, err := s.exports.Publish(t.Context(), e.ID, export.File{Size: int64(len(csvHeader)), SHA256: sum[:], Object: object}, retention)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

const csvHeader = "id,memory,user_id,agent_id,session_id,priority,status,categories,metadata,workspace_id,access_count,last_accessed_at,created_at,updated_at\r\n"

func TestADownloadIsRedirectedToTheStore(t *testing.T) {
	s := newRedirecting(t)
	for retention, longest := range map[time.Duration]int{72 * time.Hour: 900, 5 * time.Minute: 300} {
		e := s.composed(t, retention, "exports/some-id/file")
		a := s.do(t, "GET", "/v1/exports/"+e.ID+"/download").status(t, 302)
		address, err := url.Parse(a.Header.Get("Location"))
		if err != nil || address.Host != "127.0.0.1:1" || address.Path != "/bucket/some/folder/exports/some-id/file" {
			t.Errorf("the address is %q: %v", a.Header.Get("Location"), err)
		}
		query := address.Query()
		seconds, err := strconv.Atoi(query.Get("X-Amz-Expires"))
		if err != nil || seconds > longest || seconds < longest-10 || query.Get("X-Amz-Signature") == "" {
			t.Errorf("the address works for %q s, want %d", query.Get("X-Amz-Expires"), longest)
		}
		if want := `attachment; filename="memories-` + e.CompletedAt.Format("20060102") + "-" + e.ID + `.csv"`; query.Get("response-content-disposition") != want {
			t.Errorf("the name of the file is %q, want %q", query.Get("response-content-disposition"), want)
		}
		if a.Header.Get("Cache-Control") != "private, no-store" || len(a.body) != 0 {
			t.Errorf("the answer is %v, %q", a.Header, a.body)
		}
	}
	if log := s.log.String(); strings.Contains(log, "X-Amz") || strings.Contains(log, "some-id") {
		t.Errorf("the log shows the address: %s", log)
	}
}

func TestADownloadIsRefusedBeforeItIsRedirected(t *testing.T) {
	s := newRedirecting(t)
	e := s.composed(t, time.Hour, "exports/some-id/file")
	path := "/v1/exports/" + e.ID + "/download"
	s.do(t, "GET", path, "X-Api-Key", s.newKey(t, s.workspace, apikey.WriteExports)).status(t, 403)
	s.do(t, "GET", path, "X-Api-Key", s.newKey(t, uuid.NewString(), apikey.ReadExports)).problem(t, 404, "EXPORT_NOT_FOUND")
	s.do(t, "GET", path, "X-Api-Key", "").status(t, 401)
	if _, err := s.db.Exec(`UPDATE memexport.exports SET expires_at = now() WHERE id = $1`, e.ID); err != nil {
		t.Fatal(err)
	}
	s.do(t, "GET", path).problem(t, 410, "EXPORT_EXPIRED")
}

// The API sends the file itself in three cases: the request depends on the ETag, which differs in the
// store; the request asks for several ranges; or the export was written before redirects were turned on,
// so that its file is not one object.
func TestTheAPIAnswersWhatTheStoreCannot(t *testing.T) {
	s := newRedirecting(t)
	composed, plain := s.composed(t, time.Hour, "exports/some-id/file"), s.composed(t, time.Hour, "")
	path := "/v1/exports/" + composed.ID + "/download"
	own := `"` + *composed.SHA256 + `"`
	head := s.do(t, "HEAD", path).status(t, 200)
	if head.Header.Get("ETag") != own || head.Header.Get("Content-Length") != strconv.Itoa(len(csvHeader)) {
		t.Errorf("HEAD is answered with %v", head.Header)
	}
	s.do(t, "GET", path, "If-None-Match", `"x", `+own).status(t, 304)
	for _, r := range []struct{ name, value string }{{"If-Range", own}, {"If-Match", own}, {"Range", "bytes=0-1,4-5"}} {
		request := s.do(t, "GET", path, "Range", "bytes=0-1", r.name, r.value)
		request.status(t, 206)
	}
	for _, r := range []struct{ name, value string }{{"If-Range", `"of-the-store-3"`}, {"If-None-Match", `"x"`}, {"Range", "bytes=100-"}} {
		s.do(t, "GET", path, r.name, r.value).status(t, 302)
	}
	if a := s.do(t, "GET", "/v1/exports/"+plain.ID+"/download").status(t, 200); string(a.body) != csvHeader {
		t.Errorf("the body is %q", a.body)
	}
}
