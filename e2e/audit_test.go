package e2e

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestTheOperatorReadsTheAuditLog(t *testing.T) {
	s := sharedStack(t)
	c := s.newTenant(t)
	const canary = "canary-user-77aa"
	e := c.ready(t, c.create(t, "format=csv&user_id="+canary).ID, startTimeout)
	c.digest(t, e)
	c.do(t, "DELETE", "/v1/exports/"+e.ID).want(t, 204)
	env := []string{"DATABASE_URL=" + s.database}
	text := mustRun(t, env, "audit", "--export", e.ID, "--since", "1h")
	var actions []string
	for line := range strings.Lines(text) {
		var event struct {
			At          time.Time
			Action      string
			WorkspaceID string `json:"workspace_id"`
			KeyID       string `json:"key_id"`
			ExportID    string `json:"export_id"`
			Address     string
		}
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		if event.WorkspaceID != c.workspace || event.ExportID != e.ID || event.KeyID == "" || event.Address != "127.0.0.1" || time.Since(event.At) > time.Hour {
			t.Errorf("the event is %s", line)
		}
		actions = append(actions, event.Action)
	}
	same(t, "the actions", strings.Join(actions, " "), "export.create export.read export.download export.delete")
	absent(t, "the audit log", []byte(text), canary)
	same(t, "events of another action", mustRun(t, env, "audit", "--export", e.ID, "--action", "workspace.erase"), "")
	same(t, "events before", mustRun(t, env, "audit", "--workspace", c.workspace, "--until", "1h"), "")
	for _, args := range [][]string{{"--key", "x"}, {"--action", "x"}, {"--since", "yesterday"}} {
		if code, _, stderr := finish(t, env, append([]string{"audit"}, args...)...); code != 2 || !strings.Contains(stderr, args[0]) {
			t.Errorf("%q: %d %s", args, code, stderr)
		}
	}
}
