package reconcile

import (
	"testing"
	"time"

	"memexport/internal/service/export"
)

func TestDecide(t *testing.T) {
	// outcome contains the two results of decide.
	type outcome struct {
		action action
		code   string
	}
	nothing, cancelled := outcome{action: leave}, outcome{action: cancel}
	started, expired, purged := outcome{action: start}, outcome{action: expire}, outcome{action: purge}
	failed := func(code string) outcome { return outcome{action: fail, code: code} }
	// states are the states of the workflow that each export is tried with. With the first state the export
	// is not late, and with the others it is late. Being late matters only while the workflow is running.
	states := []workflowState{running, running, missing, ended, terminated}
	for _, c := range []struct {
		stored, status export.Status
		kept, deleted  [5]outcome // one outcome for each of states; deleted is for an export with a DeletedAt
	}{
		{export.Pending, export.Pending,
			[5]outcome{nothing, nothing, started, failed(export.CodeInternal), failed(export.CodeTerminated)},
			[5]outcome{cancelled, failed(export.CodeCancelled), failed(export.CodeCancelled), failed(export.CodeCancelled), failed(export.CodeCancelled)}},
		{export.Processing, export.Processing,
			[5]outcome{nothing, nothing, started, failed(export.CodeInternal), failed(export.CodeTerminated)},
			[5]outcome{cancelled, failed(export.CodeCancelled), failed(export.CodeCancelled), failed(export.CodeCancelled), failed(export.CodeCancelled)}},
		{export.Ready, export.Ready,
			[5]outcome{nothing, nothing, nothing, nothing, nothing},
			[5]outcome{cancelled, purged, purged, purged, purged}},
		{export.Ready, export.Expired, // the export's time is over, but no worker has recorded it as EXPIRED yet
			[5]outcome{nothing, expired, expired, expired, expired},
			[5]outcome{cancelled, purged, purged, purged, purged}},
		{export.Expired, export.Expired,
			[5]outcome{nothing, purged, purged, purged, purged},
			[5]outcome{cancelled, purged, purged, purged, purged}},
		{export.Failed, export.Failed,
			[5]outcome{nothing, purged, purged, purged, purged},
			[5]outcome{cancelled, purged, purged, purged, purged}},
	} {
		for i, state := range states {
			e := export.Export{StoredStatus: c.stored, Status: c.status}
			if what, code := decide(e, state, i > 0); (outcome{what, code}) != c.kept[i] {
				t.Errorf("%s (stored: %s) with a workflow %s, late %v: %v %s, want %+v", c.status, c.stored, state, i > 0, what, code, c.kept[i])
			}
			now := time.Now()
			e.DeletedAt = &now
			if what, code := decide(e, state, i > 0); (outcome{what, code}) != c.deleted[i] {
				t.Errorf("deleted %s (stored: %s) with a workflow %s, late %v: %v %s, want %+v", c.status, c.stored, state, i > 0, what, code, c.deleted[i])
			}
		}
	}
}

func TestAnExportIsLateMinutesAfterItsNextStepIsDue(t *testing.T) {
	const grace = time.Hour
	ago := func(d time.Duration) *time.Time { t := time.Now().Add(-d); return &t }
	for name, of := range map[string]func(since time.Duration) export.Export{
		"READY": func(since time.Duration) export.Export {
			return export.Export{StoredStatus: export.Ready, ExpiresAt: ago(since), UpdatedAt: *ago(100 * time.Hour)}
		},
		"EXPIRED": func(since time.Duration) export.Export {
			return export.Export{StoredStatus: export.Expired, ExpiresAt: ago(100 * time.Hour), UpdatedAt: *ago(since + grace)}
		},
		"FAILED": func(since time.Duration) export.Export {
			return export.Export{StoredStatus: export.Failed, UpdatedAt: *ago(since + grace)}
		},
		"deleted": func(since time.Duration) export.Export {
			return export.Export{StoredStatus: export.Processing, DeletedAt: ago(since), UpdatedAt: *ago(100 * time.Hour)}
		},
	} {
		if late(of(lateness-time.Minute), grace) || !late(of(lateness+time.Minute), grace) {
			t.Errorf("a %s export is late at another time than %v after its step is due", name, lateness)
		}
	}
}
