package worker_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"google.golang.org/grpc"

	"memexport/activities"
	"memexport/dispatch"
	"memexport/internal/service/archive"
	"memexport/internal/service/export"
	"memexport/internal/service/memory"
	"memexport/internal/workshop/demo"
	"memexport/internal/workshop/pgtest"
	"memexport/reconcile"
	"memexport/worker"
	"memexport/workflows"
)

const (
	workspaceID = "0190a000-0000-4000-8000-00000000000f"
	// patience limits every wait for something that takes a few seconds at most on an idle machine.
	patience = time.Minute
)

func TestMain(m *testing.M) { pgtest.Main(m, pgtest.Migrate, demo.CreateTable) }

var silent = slog.New(slog.DiscardHandler)

// dial returns a client that connects when it is first used.
func dial(t *testing.T, address string, o ...grpc.DialOption) client.Client {
	t.Helper()
	c, err := client.NewLazyClient(client.Options{HostPort: address, Logger: log.NewStructuredLogger(silent),
		ConnectionOptions: client.ConnectionOptions{DialOptions: o}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// site is the database and the bucket that the workers of one test share.
type site struct {
	*testing.T
	db      *sqlx.DB
	dir     string // the directory of the bucket
	exports *export.Store
	starter *workflows.Starter
	options worker.Options
}

func newSite(t *testing.T, c client.Client) *site {
	t.Helper()
	db := pgtest.Open(t, 32)
	dir := t.TempDir()
	files, err := archive.Open(t.Context(), "file://"+dir, archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { files.Close() })
	source, err := memory.NewSource(db, "memories", memory.SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s := &site{T: t, db: db, dir: dir, exports: export.NewStore(db), starter: workflows.NewStarter(c, "default", t.Name())}
	steps := &activities.Activities{
		Exports: s.exports, Source: source, Archive: files, Retention: time.Hour, Grace: time.Minute, Parallel: 2,
	}
	s.options = worker.Options{
		Client: c, Namespace: "default", TaskQueue: t.Name(), Log: silent,
		Activities: steps, Reconciler: &reconcile.Activities{Steps: steps, Client: c, Starter: s.starter, Log: silent,
			Dispatcher: &dispatch.Dispatcher{Exports: s.exports, Starter: s.starter, Log: silent}},
		Concurrency: 4, CachedWorkflows: 500, StopTimeout: 20 * time.Second, ReconcileEvery: time.Hour, SweepEvery: 2 * time.Hour,
	}
	return s
}

// running is a worker that runs until stop is called or the test ends.
type running struct {
	cancel context.CancelFunc
	done   chan struct{}
}

func (s *site) run(o worker.Options) *running {
	s.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{cancel, make(chan struct{})}
	go func() {
		defer close(r.done)
		worker.Run(ctx, o)
	}()
	s.Cleanup(func() { r.stop(s.T) })
	return r
}

func (r *running) stop(t *testing.T) {
	t.Helper()
	r.cancel()
	select {
	case <-r.done:
	case <-time.After(patience):
		t.Error("the worker did not stop")
	}
}

func (s *site) exec(statement string, args ...any) {
	s.Helper()
	if _, err := s.db.Exec(statement, args...); err != nil {
		s.Fatal(err)
	}
}

// start creates an export, starts its workflow, and returns its id.
func (s *site) start() string {
	s.Helper()
	e, err := s.exports.Create(s.Context(), export.Export{WorkspaceID: workspaceID, Format: "json"})
	if err != nil {
		s.Fatal(err)
	}
	if err := s.starter.Start(s.Context(), e); err != nil {
		s.Fatal(err)
	}
	return e.ID
}

func (s *site) find(id string) export.Export {
	s.Helper()
	e, err := s.exports.Find(s.Context(), id)
	if err != nil {
		s.Fatal(err)
	}
	return e
}

// forward accepts connections at the address from and forwards them to the address to, until the test
// ends.
func forward(t *testing.T, from, to string) {
	t.Helper()
	listener, err := net.Listen("tcp", from)
	if err != nil {
		t.Fatal(err)
	}
	var open sync.Map
	t.Cleanup(func() {
		listener.Close()
		open.Range(func(conn, _ any) bool { conn.(net.Conn).Close(); return true })
	})
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return // the listener is closed
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			open.Store(near, nil)
			open.Store(far, nil)
			for _, pair := range [][2]net.Conn{{near, far}, {far, near}} {
				go func() {
					_, _ = io.Copy(pair[0], pair[1]) // Copy returns when either side closes
					pair[0].Close()
				}()
			}
		}
	}()
}

// telling returns a logger that sends a value to the channel lines whenever something is logged.
func telling(lines chan<- struct{}) *slog.Logger { return slog.New(teller{slog.DiscardHandler, lines}) }

type teller struct {
	slog.Handler
	lines chan<- struct{}
}

func (teller) Enabled(context.Context, slog.Level) bool { return true }

func (l teller) Handle(context.Context, slog.Record) error {
	select {
	case l.lines <- struct{}{}:
	default: // drop the line, because the test needs only one
	}
	return nil
}
