package activities_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"memexport/activities"
	"memexport/internal/service/archive"
	"memexport/internal/service/export"
	"memexport/internal/service/format"
	"memexport/internal/service/memory"
	"memexport/internal/service/postgres"
	"memexport/internal/workshop/pgtest"
)

// costPage is the page that tells operators what an export costs.
const costPage = "../docs/cost.md"

// wantTold checks that the page has a table row that begins with name and has exactly these cells.
func wantTold(t *testing.T, name string, cells ...any) {
	t.Helper()
	page, err := os.ReadFile(costPage)
	if err != nil {
		t.Fatal(err)
	}
	want := "| " + name
	for _, cell := range cells {
		want += fmt.Sprint(" | ", cell)
	}
	if want += " |"; !strings.Contains(string(page), want+"\n") {
		found := regexp.MustCompile(`(?m)^\| ` + regexp.QuoteMeta(name) + ` \|.*$`).FindString(string(page))
		t.Errorf("%s has the row\n%s\nbut the costs are\n%s", costPage, found, want)
	}
}

// countingS3 is an S3 store in memory that counts its requests.
type countingS3 struct {
	mu      sync.Mutex
	objects map[string][]byte
	counts  map[string]int
}

func (s *countingS3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := strings.TrimPrefix(r.URL.Path, "/bucket/")
	switch lists := r.URL.Query().Get("list-type") != ""; {
	case lists:
		s.counts["LIST"]++
		w.Header().Set("Content-Type", "application/xml")
		_, _ = io.WriteString(w, `<ListBucketResult><IsTruncated>false</IsTruncated>`)
		for key, data := range s.objects {
			if strings.HasPrefix(key, r.URL.Query().Get("prefix")) {
				_, _ = fmt.Fprintf(w, `<Contents><Key>%s</Key><Size>%d</Size><LastModified>2026-01-01T00:00:00Z</LastModified></Contents>`, key, len(data))
			}
		}
		_, _ = io.WriteString(w, `</ListBucketResult>`)
		return
	case r.Method == http.MethodPut:
		data, _ := io.ReadAll(r.Body) // ignore the error, because the test would then fail to publish the export
		s.objects[key] = data
	case r.Method == http.MethodDelete:
		delete(s.objects, key)
		w.WriteHeader(http.StatusNoContent)
	case s.objects[key] == nil:
		w.WriteHeader(http.StatusNotFound)
	default:
		http.ServeContent(w, r, "", time.Unix(0, 0), strings.NewReader(string(s.objects[key])))
	}
	s.counts[r.Method]++
}

// take returns the counts of the requests since the last call.
func (s *countingS3) take() []any {
	s.mu.Lock()
	defer s.mu.Unlock()
	var cells []any
	for _, kind := range []string{"PUT", "GET", "HEAD", "LIST", "DELETE"} {
		cells = append(cells, s.counts[kind])
	}
	clear(s.counts)
	return cells
}

func TestTheCostPageSaysHowManyRequestsAnExportMakesToTheStore(t *testing.T) {
	h := newHarness(t)
	store := &countingS3{objects: map[string][]byte{}, counts: map[string]int{}}
	h.openS3(store, archive.Options{})
	purge := func(id string) {
		must[any](h, h.Expire, activities.ExpireInput{ExportID: id})
		must[any](h, h.Purge, h.ref(id))
	}
	purge(h.smallPublished(format.JSON))
	wantTold(t, "no memories", store.take()...)
	h.fill(100)
	purge(h.smallPublished(format.JSON))
	wantTold(t, "small", store.take()...)
	purge(h.smallPublished(format.Parquet))
	wantTold(t, "small, Parquet", store.take()...)
	h.PartSize = 4 << 10
	id := h.published(format.JSON)
	parts := len(h.parts(id))
	purge(id)
	want := []any{parts, parts, parts, 1, parts}
	if got := store.take(); !slices.Equal(got, want) || parts < 3 {
		t.Errorf("an export of %d parts made %v requests, want %v", parts, got, want)
	}
}

// smallPublished creates an export that Plan publishes, and returns its id.
func (h *harness) smallPublished(f *format.Format) string {
	h.Helper()
	id := h.create(f)
	if plan, err := h.planSmall(id); err != nil || plan.Published == nil {
		h.Fatalf("the plan is %+v: %v", plan, err)
	}
	return id
}

// roundTrips forwards connections to a Postgres server, and counts how often the client waits for an answer.
type roundTrips struct {
	n atomic.Int64
}

func (c *roundTrips) forward(client net.Conn, target string) {
	defer client.Close()
	server, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer server.Close()
	go func() { _, _ = io.Copy(client, server) }()
	from := bufio.NewReader(client)
	for kind := byte(0); ; { // the first message, with the user's name, has no kind
		header := make([]byte, 0, 5)
		if kind != 0 {
			if kind, err = from.ReadByte(); err != nil {
				return
			}
			header = append(header, kind)
		}
		length := make([]byte, 4)
		if _, err := io.ReadFull(from, length); err != nil {
			return
		}
		if kind == 'Q' || kind == 'S' { // a simple query, or the end of an extended one
			c.n.Add(1)
		}
		if _, err := server.Write(append(header, length...)); err != nil {
			return
		}
		if _, err := io.CopyN(server, from, int64(binary.BigEndian.Uint32(length))-4); err != nil {
			return
		}
		if kind == 0 {
			kind = 'x'
		}
	}
}

func TestTheCostPageSaysHowOftenASmallExportWaitsForPostgres(t *testing.T) {
	h := newHarness(t)
	h.fill(100)
	var own, memories roundTrips
	db, err := postgres.OpenWith(pgtest.Proxy(t, h.url, own.forward), postgres.Options{MaxConns: 1, Prepare: true}) // as cmd/memexport opens it
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	source, err := memory.NewSource(pgtest.OpenURL(t, pgtest.Proxy(t, h.url, memories.forward), 4), "memories", memory.SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	h.Exports, h.Source = export.NewStore(db).WithLimits(export.Limits{Running: 3, Unfinished: 1000}), source
	h.Ended = func(ctx context.Context, workspaceID string) {
		if _, err := h.Exports.Claim(ctx, workspaceID); err != nil {
			t.Error(err)
		}
	}
	id := h.smallPublished(format.JSON) // opens the connections and prepares the statements
	must[activities.ExpireResult](h, h.Expire, activities.ExpireInput{ExportID: id})
	must[any](h, h.Purge, h.ref(id))
	own.n.Store(0)
	id = h.create(format.JSON)
	wantTold(t, "insert the row", own.n.Swap(0), 0)
	memories.n.Store(0)
	if plan, err := h.planSmall(id); err != nil || plan.Published == nil {
		t.Fatalf("the plan is %+v: %v", plan, err)
	}
	wantTold(t, "Plan, with all that follows up to READY", own.n.Swap(0), memories.n.Swap(0))
	must[activities.ExpireResult](h, h.Expire, activities.ExpireInput{ExportID: id})
	wantTold(t, "Expire", own.n.Swap(0), memories.n.Swap(0))
	must[any](h, h.Purge, h.ref(id))
	wantTold(t, "Purge", own.n.Swap(0), memories.n.Swap(0))
}
