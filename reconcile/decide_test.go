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
	states := []workflowState{running, missing, ended, terminated}
	for _, c := range []struct {
		stored, status export.Status
		kept, deleted  [4]outcome // one outcome for each state in states, for an export that was not deleted and for a deleted export
	}{
		{export.Pending, export.Pending,
			[4]outcome{nothing, started, failed(export.CodeInternal), failed(export.CodeTerminated)},
			[4]outcome{cancelled, failed(export.CodeCancelled), failed(export.CodeCancelled), failed(export.CodeCancelled)}},
		{export.Processing, export.Processing,
			[4]outcome{nothing, started, failed(export.CodeInternal), failed(export.CodeTerminated)},
			[4]outcome{cancelled, failed(export.CodeCancelled), failed(export.CodeCancelled), failed(export.CodeCancelled)}},
		{export.Ready, export.Ready,
			[4]outcome{nothing, nothing, nothing, nothing},
			[4]outcome{cancelled, purged, purged, purged}},
		{export.Ready, export.Expired, // the export's time is over, but no worker has recorded it as EXPIRED yet
			[4]outcome{nothing, expired, expired, expired},
			[4]outcome{cancelled, purged, purged, purged}},
		{export.Expired, export.Expired,
			[4]outcome{nothing, purged, purged, purged},
			[4]outcome{cancelled, purged, purged, purged}},
		{export.Failed, export.Failed,
			[4]outcome{nothing, purged, purged, purged},
			[4]outcome{cancelled, purged, purged, purged}},
	} {
		for i, state := range states {
			e := export.Export{StoredStatus: c.stored, Status: c.status}
			if what, code := decide(e, state); (outcome{what, code}) != c.kept[i] {
				t.Errorf("%s (stored: %s) with a workflow %s: %v %s, want %+v", c.status, c.stored, state, what, code, c.kept[i])
			}
			now := time.Now()
			e.DeletedAt = &now
			if what, code := decide(e, state); (outcome{what, code}) != c.deleted[i] {
				t.Errorf("deleted %s (stored: %s) with a workflow %s: %v %s, want %+v", c.status, c.stored, state, what, code, c.deleted[i])
			}
		}
	}
}
