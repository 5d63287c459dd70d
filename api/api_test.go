package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"go.temporal.io/sdk/client"

	"memexport/api"
	"memexport/internal/service/apikey"
	"memexport/internal/service/archive"
	"memexport/internal/service/audit"
	"memexport/internal/service/export"
	"memexport/internal/service/format"
	"memexport/internal/service/memory"
	"memexport/internal/workshop/pgtest"
	"memexport/workflows"
)

func TestMain(m *testing.M) { pgtest.Main(m, pgtest.Migrate) }

// service is the API on a real server, with a real database and a bucket in a directory. Its Temporal
// server cannot be reached.
type service struct {
	url     string
	server  *api.Server
	handler http.Handler
	dir     string // the directory of the bucket
	log     *buffer
	db      *sqlx.DB
	exports *export.Store
	keys    *apikey.Store
	archive *archive.Archive

	workspace string
	key       string // an API key with every permission
}

// compress makes the service store the parts of later exports compressed.
func (s *service) compress(t *testing.T) {
	t.Helper()
	files, err := archive.Open(t.Context(), "file://"+s.dir, archive.Options{Compress: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { files.Close() })
	s.archive = files
}

func newService(t testing.TB, change ...func(*api.Options)) *service {
	t.Helper()
	return newServiceOn(t, pgtest.Open(t, 8), change...)
}

// newServiceOn is like newService, with a database that the caller has opened.
func newServiceOn(t testing.TB, db *sqlx.DB, change ...func(*api.Options)) *service {
	t.Helper()
	s := &service{dir: t.TempDir(), log: &buffer{}, db: db, exports: export.NewStore(db), keys: apikey.NewStore(db), workspace: uuid.NewString()}
	var err error
	if s.archive, err = archive.Open(t.Context(), "file://"+s.dir, archive.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.archive.Close() })
	s.key = s.newKey(t, s.workspace, apikey.Permissions...)
	temporal, err := client.NewLazyClient(client.Options{HostPort: "127.0.0.1:1", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(temporal.Close)
	options := api.Options{
		Exports: s.exports, Keys: s.keys, Archive: s.archive, Audit: audit.NewStore(db), Starter: workflows.NewStarter(temporal, "default", "memexport"),
		Log: slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, c := range change {
		c(&options)
	}
	s.server = api.New(options)
	s.handler, s.url = s.server.Handler(), serve(t, s.server)
	return s
}

// serve makes server listen on a free port until the test ends, and returns its URL.
func serve(t testing.TB, server *api.Server) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Error("requests are still being served:", err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return "http://" + listener.Addr().String()
}

func (s *service) newKey(t testing.TB, workspace string, permissions ...apikey.Permission) string {
	t.Helper()
	secret, _, err := s.keys.Create(t.Context(), workspace, "test", apikey.TestPrefix, permissions)
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

// create inserts a PENDING export directly into the database.
func (s *service) create(t *testing.T, formatName string) export.Export {
	t.Helper()
	e, err := s.exports.Create(t.Context(), export.Export{WorkspaceID: s.workspace, Format: formatName})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// process makes an export PROCESSING.
func (s *service) process(t *testing.T, id string) {
	t.Helper()
	if _, err := s.exports.Start(t.Context(), id, []memory.PlannedRange{{Estimate: 2, Range: memory.Range{
		First: memory.Key{ID: uuid.Nil.String()}, Last: memory.Key{ID: uuid.Max.String()}}}}); err != nil {
		t.Fatal(err)
	}
}

// publish creates a READY export that consists of these parts. It returns the export and the content of
// its file.
func (s *service) publish(t *testing.T, formatName string, retention time.Duration, parts ...string) (export.Export, string) {
	t.Helper()
	ctx := t.Context()
	e := s.create(t, formatName)
	s.process(t, e.ID)
	f, _ := format.Lookup(formatName)
	var recorded []export.Part
	var stored []archive.Part
	for i, data := range parts {
		part, err := s.archive.Put(ctx, e.ID, 0, i, []byte(data))
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, part)
		recorded = append(recorded, export.Part{Part: part, Number: i, Memories: 1, Last: memory.Key{ID: uuid.NewString()}})
	}
	if err := s.exports.Record(ctx, e.ID, "", recorded); err != nil {
		t.Fatal(err)
	}
	digest, err := s.archive.Extend(ctx, f, archive.Digest{}, stored)
	if err != nil {
		t.Fatal(err)
	}
	sum, size, err := digest.Finish(f)
	if err != nil {
		t.Fatal(err)
	}
	if e, err = s.exports.Publish(ctx, e.ID, export.File{Parts: len(parts), Memories: int64(len(parts)), Size: size, SHA256: sum}, retention); err != nil {
		t.Fatal(err)
	}
	return e, f.Prefix + strings.Join(parts, f.Separator) + f.Suffix
}

// count returns the number of exports in the database.
func (s *service) count(t *testing.T) (n int) {
	t.Helper()
	if err := s.db.GetContext(t.Context(), &n, `SELECT count(*) FROM memexport.exports`); err != nil {
		t.Fatal(err)
	}
	return n
}

// answer is a response whose body has been read.
type answer struct {
	*http.Response
	body []byte
	err  error // the error from reading the body
}

// do sends a request with the service's key. headers are pairs of a name and a value; they may replace the
// key. If the OpenAPI document does not describe the answer, the test fails.
func (s *service) do(t *testing.T, method, target string, headers ...string) answer {
	t.Helper()
	return s.send(t, method, target, nil, headers...)
}

func (s *service) send(t *testing.T, method, target string, body io.Reader, headers ...string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, s.url+target, body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Api-Key", s.key)
	for i := 0; i < len(headers); i += 2 {
		if headers[i+1] == "" && headers[i] == "X-Api-Key" {
			request.Header.Del(headers[i])
		} else {
			request.Header.Set(headers[i], headers[i+1])
		}
	}
	response, err := http.DefaultTransport.RoundTrip(request) // RoundTrip does not follow redirects
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	a := answer{Response: response}
	a.body, a.err = io.ReadAll(response.Body)
	checkDocumented(t, a)
	checkCommonHeaders(t, method+" "+target, a.Header)
	return a
}

func (a answer) status(t *testing.T, want int) answer {
	t.Helper()
	if a.StatusCode != want {
		t.Fatalf("%s %s: %s, want %d: %s", a.Request.Method, a.Request.URL, a.Status, want, a.body)
	}
	return a
}

func (a answer) header(t *testing.T, name, want string) answer {
	t.Helper()
	if got := a.Header.Get(name); got != want {
		t.Errorf("%s %s: %s: %q, want %q", a.Request.Method, a.Request.URL, name, got, want)
	}
	return a
}

// problem checks that the answer is a problem with this status and code, and returns it.
func (a answer) problem(t *testing.T, status int, code string) api.Problem {
	t.Helper()
	a.status(t, status).header(t, "Content-Type", "application/problem+json")
	var p api.Problem
	if a.Request.Method == http.MethodHead {
		return p
	}
	a.decode(t, &p)
	if p.Status != status || p.Code != code || p.Title == "" || p.Type == "" || p.Detail == "" {
		t.Fatalf("%s %s: %s, want %d %s", a.Request.Method, a.Request.URL, a.body, status, code)
	}
	return p
}

func (a answer) decode(t *testing.T, into any) {
	t.Helper()
	if err := json.Unmarshal(a.body, into); err != nil {
		t.Fatalf("%s %s: %v in %s", a.Request.Method, a.Request.URL, err, a.body)
	}
}

// job is an export as a client reads it.
type job struct {
	ID         string   `json:"id"`
	Format     string   `json:"format"`
	Status     string   `json:"status"`
	UserID     *string  `json:"user_id"`
	Categories []string `json:"categories"`
	CreatedAt  string   `json:"created_at"`
	Error      *struct {
		Code      string
		Message   string
		Retryable bool
	} `json:"error"`
}

func (a answer) job(t *testing.T) (j job) {
	t.Helper()
	a.decode(t, &j)
	return j
}
