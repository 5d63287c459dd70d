package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
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
			Operator    string
		}
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		if event.WorkspaceID != c.workspace || event.ExportID != e.ID || event.KeyID == "" || event.Operator != "" || event.Address != "127.0.0.1" || time.Since(event.At) > time.Hour {
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

func TestTheAuditLogHasTheLifeOfKeys(t *testing.T) {
	s := sharedStack(t)
	env, workspace := []string{"DATABASE_URL=" + s.database}, uuid.NewString()
	createKey(t, s.database, workspace, "export.read")
	ids, _ := listKeys(t, s, workspace)
	mustRun(t, env, "keys", "rotate", ids[0])
	ids, _ = listKeys(t, s, workspace)
	mustRun(t, env, "keys", "revoke", ids[0])
	execute(t, s.db, `UPDATE memexport.api_keys SET revoked_at = revoked_at, replaced_by = replaced_by, last_used_at = now() WHERE workspace_id = $1`, workspace)
	execute(t, s.db, `DELETE FROM memexport.api_keys WHERE id = $1`, ids[1])

	var events []string
	for line := range strings.Lines(mustRun(t, env, "audit", "--workspace", workspace)) {
		var event struct {
			Action   string
			KeyID    string `json:"key_id"`
			Operator string
		}
		if err := json.Unmarshal([]byte(line), &event); err != nil || event.Operator == "" {
			t.Errorf("the event is %s, %v", line, err)
		}
		events = append(events, fmt.Sprint(event.Action, " ", slices.Index(ids, event.KeyID)))
	}
	same(t, "the events and the keys they are about", strings.Join(events, ", "), "key.create 0, key.create 1, key.rotate 0, key.revoke 0, key.delete 1")
}
