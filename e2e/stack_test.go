package e2e

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	_ "github.com/lib/pq" // the driver "postgres"

	"memexport/internal/workshop/pgtest"
)

// devOptions configure a run of `memexport dev`.
type devOptions struct {
	dir      string
	memories int      // number of memories in the demo workspace
	env      []string // environment variables to set
}

// stack is a running `memexport dev`.
type stack struct {
	*command
	dir      string
	url      string // URL of the API
	admin    string // URL of the admin port
	key      string // API key of the demo workspace
	database string
	db       *sql.DB
}

// startTimeout is long, because the machine may be busy and the Temporal server may have to be built
// first.
const startTimeout = 10 * time.Minute

// startDev starts `memexport dev`. It returns when dev has made its first exports and prints "Press
// Ctrl-C".
func startDev(o devOptions) (*stack, error) {
	p, err := start(o.env, "dev", "--dir", o.dir, "--http", "127.0.0.1:0", "--temporal-port", "0", "--ui-port", "0",
		"--memories", strconv.Itoa(o.memories))
	if err != nil {
		return nil, err
	}
	s := &stack{command: p, dir: o.dir}
	if err := p.says("Press Ctrl-C", startTimeout); err != nil {
		p.end(syscall.SIGINT)
		return nil, err
	}
	for name, value := range map[string]*string{"base-url": &s.url, "admin-url": &s.admin, "api-key": &s.key, "database-url": &s.database} {
		line, err := os.ReadFile(filepath.Join(o.dir, name))
		if err != nil {
			p.end(syscall.SIGINT)
			return nil, err
		}
		*value = strings.TrimSpace(string(line))
	}
	if s.db, err = sql.Open("postgres", s.database); err != nil {
		p.end(syscall.SIGINT)
		return nil, err
	}
	return s, nil
}

// newDev starts `memexport dev` as startDev does, and stops it at the end of the test.
func newDev(t *testing.T, o devOptions) *stack {
	t.Helper()
	s, err := startDev(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	return s
}

func (s *stack) stop() {
	s.db.Close()
	s.end(syscall.SIGINT)
}

// client returns a client with the API key of the demo workspace.
func (s *stack) client() *client { return newClient(s.url, s.key) }

// tenant is a workspace for one test, and a client with a key for that workspace.
type tenant struct {
	*client
	workspace string
}

// newTenant creates a key for a new, empty workspace.
func (s *stack) newTenant(t *testing.T) tenant {
	t.Helper()
	workspace := uuid.NewString()
	return tenant{client: newClient(s.url, createKey(t, s.database, workspace, "export.read", "export.write")), workspace: workspace}
}

// createKey creates an API key with `memexport keys create`.
func createKey(t *testing.T, database, workspace string, permissions ...string) string {
	t.Helper()
	args := []string{"keys", "create", "--workspace", workspace, "--name", t.Name()}
	for _, p := range permissions {
		args = append(args, "--permission", p)
	}
	key := mustRun(t, []string{"DATABASE_URL=" + database}, args...)
	if !strings.HasPrefix(key, "msk_live_") || strings.Count(key, "\n") != 1 {
		t.Fatalf("keys create does not print a key alone on a line: %q", key)
	}
	return strings.TrimSpace(key)
}

// openDatabase opens a database and closes it at the end of the test.
func openDatabase(t *testing.T, url string) *sql.DB {
	t.Helper()
	return pgtest.OpenURL(t, url, 4).DB
}

func execute(t *testing.T, db *sql.DB, statement string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement, args...); err != nil {
		t.Fatal(err)
	}
}

// generate adds n memories with texts of about width characters to a workspace. Postgres generates
// them, which is fast. Consecutive memories have ids that are close to each other in the index.
func generate(t *testing.T, db *sql.DB, workspace string, n, width int) {
	t.Helper()
	began := time.Now()
	execute(t, db, `INSERT INTO memories (id, memory, user_id, agent_id, session_id, priority, status, categories, metadata,
			workspace_id, access_count, last_accessed_at, created_at, updated_at)
		SELECT overlay(md5($1 || i) placing lpad(to_hex(i / 1000), 8, '0') from 1 for 8)::uuid,
		       'Memory ' || i || E' says "hello"\n' || repeat(md5(i::text) || ' ', $3 / 33),
		       'user-' || i / 50 % 1000, CASE WHEN i % 3 > 0 THEN 'agent-' || i % 10 END, 'session-' || i / 20,
		       (ARRAY['LOW', 'MEDIUM', 'HIGH'])[1 + i % 3], 'COMPLETED', ARRAY['c' || i % 7, 'c' || i % 11],
		       CASE WHEN i % 2 = 0 THEN jsonb_build_object('i', i, 'half', i / 2.0) END,
		       $1::uuid, i, CASE WHEN i % 5 = 0 THEN now() END,
		       '2025-01-01Z'::timestamptz + i / 3 * interval '7.000001 s', '2025-06-01Z'::timestamptz + i * interval '1 s'
		FROM generate_series(1, $2::int) i`, workspace, n, width)
	execute(t, db, `ANALYZE memories`)
	t.Logf("made %d memories in %s", n, time.Since(began).Round(time.Millisecond))
}

// blockReading makes every query on the memories wait until release is called, as a migration of
// the table would.
func blockReading(t *testing.T, db *sql.DB) (release func()) {
	t.Helper()
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	release = func() { _ = tx.Rollback() } // after the first call it does nothing
	t.Cleanup(release)
	if _, err := tx.Exec(`LOCK TABLE memories IN ACCESS EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	return release
}

// objects returns the names of an export's objects in a bucket that is a directory.
func objects(t *testing.T, bucket, exportID string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(bucket, "exports", exportID))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func (s *stack) objects(t *testing.T, exportID string) []string {
	t.Helper()
	return objects(t, filepath.Join(s.dir, "bucket"), exportID)
}

// same fails the test unless got equals want. The parameter what names them in the message, such as
// "the status".
func same[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %s, want %s", what, short(got), short(want))
	}
}

// short formats a value for a message. It cuts the text off after 500 characters.
func short(v any) string {
	text := fmt.Sprintf("%#v", v)
	if len(text) > 500 {
		return text[:500] + "..."
	}
	return text
}
