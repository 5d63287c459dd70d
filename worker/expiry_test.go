package worker_test

import (
	"testing"
	"time"

	"memexport/internal/service/export"
	"memexport/internal/workshop/await"
)

// expiresByPostgres moves the expiry of an export by 5 seconds after its workflow has learned of it. So the timer
// fires too early, as if the clock of Temporal were 5 seconds ahead.
func expiresByPostgres(t *testing.T, server string) {
	s := newSite(t, dial(t, server))
	s.exec(`INSERT INTO memories (id, memory, priority, status, workspace_id) VALUES (gen_random_uuid(), 'a fact', 'LOW', 'COMPLETED', $1)`, workspaceID)
	s.exec(`CREATE FUNCTION later() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			UPDATE memexport.exports SET expires_at = NEW.expires_at + interval '5 seconds' WHERE id = NEW.id; RETURN NULL;
		END $$;
		CREATE TRIGGER later AFTER UPDATE ON memexport.exports FOR EACH ROW
			WHEN (OLD.status = 'PROCESSING' AND NEW.status = 'READY') EXECUTE FUNCTION later()`)
	s.options.Activities.Retention, s.options.Activities.Grace = time.Second, 0
	s.run(s.options)
	id := s.start()
	await.True(t, patience, "the export is EXPIRED in the row too", func() bool { return s.find(id).StoredStatus == export.Expired })
	e := s.find(id)
	if retention := e.ExpiresAt.Sub(*e.CompletedAt); retention != 6*time.Second {
		t.Errorf("the export expired after %v, want 6s", retention)
	}
	await.True(t, patience, "the export is purged", func() bool { return s.find(id).PurgedAt != nil })
}
