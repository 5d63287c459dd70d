package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"memexport/internal/workshop/await"
)

// logLine is a line of a process's log.
type logLine map[string]any

// linesOf returns the lines of the log about an export.
func (c *command) linesOf(exportID string) []logLine {
	var lines []logLine
	for text := range strings.Lines(c.stderr.String()) {
		var line logLine
		if json.Unmarshal([]byte(text), &line) == nil && line["export_id"] == exportID {
			lines = append(lines, line)
		}
	}
	return lines
}

// wantLine waits until the log has exactly one line about the export with this message, and checks the
// attributes in want.
func (c *command) wantLine(t *testing.T, exportID, message string, want logLine) {
	t.Helper()
	var found []logLine
	await.True(t, time.Minute, "the log has the line "+message, func() bool {
		found = nil
		for _, line := range c.linesOf(exportID) {
			if line["msg"] == message {
				found = append(found, line)
			}
		}
		return len(found) > 0
	})
	if len(found) != 1 {
		t.Errorf("the log has %d lines %q: %v", len(found), message, found)
	}
	for name, value := range want {
		if got := fmt.Sprint(found[0][name]); got != value && !(value == "*" && got != "" && got != "<nil>") {
			t.Errorf("the line %q has %s %q, want %q", message, name, got, value)
		}
	}
}

func TestTheLogHasEachStepInTheLifeOfAnExport(t *testing.T) {
	t.Parallel()
	d := newDeployment(t, "logs")
	api, url := d.api(t)
	worker := d.worker(t, "EXPORT_RETENTION=2s", "EXPORT_GRACE=1s", "SWEEP_EVERY=1s")
	c := d.tenant(t, url, 1_000)
	db := openDatabase(t, d.database)
	var key string
	if err := db.QueryRow(`SELECT id FROM memexport.api_keys WHERE workspace_id = $1`, c.workspace).Scan(&key); err != nil {
		t.Fatal(err)
	}
	const trace = "2cf7651916cd43dd8448eb211c80319c"
	traceParent := []string{"traceparent", "00-" + trace + "-b7ad6b7169203331-01"}
	// The service sends no traces, but its log lines contain the trace of the caller.
	all := logLine{"workspace_id": c.workspace, "created_by": key, "format": "csv", "trace_id": trace}
	with := func(more logLine) logLine {
		for name, value := range all {
			more[name] = value
		}
		return more
	}

	e := c.create(t, "format=csv&user_id=user-7", traceParent...)
	api.wantLine(t, e.ID, "export created", all)
	worker.wantLine(t, e.ID, "export started", all)
	worker.wantLine(t, e.ID, "export ready", with(logLine{"memories": "*", "bytes": "*", "seconds": "*"}))
	worker.wantLine(t, e.ID, "export expired", all)
	worker.wantLine(t, e.ID, "export purged", all)

	release := blockReading(t, db)
	deleted := c.create(t, "format=csv", traceParent...)
	c.do(t, "DELETE", "/v1/exports/"+deleted.ID).want(t, 204)
	api.wantLine(t, deleted.ID, "export deleted", all)
	worker.wantLine(t, deleted.ID, "export failed", with(logLine{"level": "WARN", "code": "CANCELLED", "cause": "*"}))
	release() // not earlier, because a small export that can be read becomes READY before it notices the DELETE
	worker.wantLine(t, deleted.ID, "export purged", all)

	lost := uuid.NewString()
	execute(t, db, `INSERT INTO memexport.exports (id, workspace_id, format, filter, created_by, trace_parent, updated_at) VALUES ($1, $2, 'csv', '{}', $3, $4, now() - interval '1 hour')`,
		lost, c.workspace, key, traceParent[1])
	worker.wantLine(t, lost, "export reconciled", with(logLine{"action": "start", "status": "PENDING", "workflow": "missing"}))
	worker.wantLine(t, lost, "export ready", all)

	orphan := uuid.NewString()
	path := filepath.Join(d.dir, "bucket", "exports", orphan, "000-000000-0")
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("x"), 0o666); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-48 * time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	worker.wantLine(t, orphan, "export swept", logLine{})

	sdk := 0
	for _, line := range worker.linesOf(e.ID) {
		if line["ActivityType"] != nil {
			sdk++
		}
	}
	if sdk == 0 {
		t.Error("no line of an activity has the export_id")
	}
	for _, p := range []*command{api, worker} {
		for _, secret := range []string{"user-7", `says \"hello\"`, c.key} {
			if strings.Contains(p.stderr.String(), secret) {
				t.Errorf("the log of %s has %q", p.args, secret)
			}
		}
	}
}
