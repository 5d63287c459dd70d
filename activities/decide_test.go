package activities

import (
	"testing"
	"time"

	"memexport/internal/service/export"
)

func TestTheReconcilersTable(t *testing.T) {
	published := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	expires := published.Add(72 * time.Hour)
	at := func(status export.Status, updated time.Time) export.Export {
		return export.Export{Status: status, UpdatedAt: updated, ExpiresAt: &expires}
	}
	exports := map[string]export.Export{
		"PENDING":       {Status: export.Pending, UpdatedAt: published},
		"PROCESSING":    {Status: export.Processing, UpdatedAt: published},
		"READY":         at(export.Ready, published),
		"READY overdue": at(export.Expired, published), // the row says READY, the clock EXPIRED
		"EXPIRED":       at(export.Expired, expires),
		"FAILED":        {Status: export.Failed, UpdatedAt: published},
	}
	type outcome struct {
		what action
		code string
	}
	nothing, cancel, start, expire, purge := outcome{what: doNothing}, outcome{what: doCancel}, outcome{what: doStart}, outcome{what: doExpire}, outcome{what: doPurge}
	fail := func(code string) outcome { return outcome{doFail, code} }
	cancelled, lost, broken := fail(export.CodeCancelled), fail(export.CodeTerminated), fail(export.CodeInternal)
	states := []workflowState{running, missing, ended, terminated}
	for name, row := range map[string]struct{ kept, deleted [4]outcome }{ // in the order of states
		"PENDING":       {[4]outcome{nothing, start, broken, lost}, [4]outcome{cancel, cancelled, cancelled, cancelled}},
		"PROCESSING":    {[4]outcome{nothing, start, broken, lost}, [4]outcome{cancel, cancelled, cancelled, cancelled}},
		"READY":         {[4]outcome{nothing, nothing, nothing, nothing}, [4]outcome{cancel, purge, purge, purge}},
		"READY overdue": {[4]outcome{nothing, expire, expire, expire}, [4]outcome{cancel, purge, purge, purge}},
		"EXPIRED":       {[4]outcome{nothing, purge, purge, purge}, [4]outcome{cancel, purge, purge, purge}},
		"FAILED":        {[4]outcome{nothing, purge, purge, purge}, [4]outcome{cancel, purge, purge, purge}},
	} {
		for i, state := range states {
			e := exports[name]
			if what, code := decide(e, state); (outcome{what, code}) != row.kept[i] {
				t.Errorf("%s with a workflow %s: %v %s, not %+v", name, state, what, code, row.kept[i])
			}
			e.DeletedAt = &published
			if what, code := decide(e, state); (outcome{what, code}) != row.deleted[i] {
				t.Errorf("deleted %s with a workflow %s: %v %s, not %+v", name, state, what, code, row.deleted[i])
			}
		}
	}
}
