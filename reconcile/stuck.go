package reconcile

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"time"

	"go.temporal.io/api/workflowservice/v1"

	"memexport/internal/service/export"
)

const (
	// reported is how many exports of one kind a run names in its result or in the log. The counts include
	// all of them.
	reported = 20
	// toldEvery is how often a worker logs that the same export is still stuck.
	toldEvery = time.Hour
	// defaultStuckAfter is several times as long as a healthy export needs between two steps.
	defaultStuckAfter = 15 * time.Minute
)

// Stuck describes an export that makes no progress and that Reconcile cannot settle.
type Stuck struct {
	ExportID    string        `json:"export_id"`
	WorkspaceID string        `json:"workspace_id"`
	Status      export.Status `json:"status"`
	Since       time.Time     `json:"since"` // when the export got this status or its place to run, whichever was later
	Reason      Reason        `json:"reason"`
	Detail      string        `json:"detail"` // what is wrong and what to do
}

// look reports an unfinished export as stuck if its workflow runs, but has made no progress for StuckAfter.
func (a *Activities) look(ctx context.Context, i *inspector, e export.Export, d *workflowservice.DescribeWorkflowExecutionResponse, done *Reconciled) error {
	since := e.UpdatedAt
	if e.DispatchedAt != nil && e.DispatchedAt.After(since) {
		since = *e.DispatchedAt
	}
	after := a.StuckAfter
	if after == 0 {
		after = defaultStuckAfter
	}
	if e.StoredStatus.Terminal() || time.Since(since) < after {
		return nil
	}
	found, err := i.diagnose(ctx, d)
	if err == nil && found.reason != "" {
		a.report(ctx, e, since, found, done)
	}
	return err
}

// report counts an export as stuck in done, and logs that it is stuck unless this worker has done so within toldEvery.
func (a *Activities) report(ctx context.Context, e export.Export, since time.Time, found diagnosis, done *Reconciled) {
	if done.StuckBy == nil {
		done.StuckBy = map[Reason]int{}
	}
	done.StuckBy[found.reason]++
	if len(done.Stuck) < reported {
		done.Stuck = append(done.Stuck, Stuck{ExportID: e.ID, WorkspaceID: e.WorkspaceID, Status: e.Status, Since: since,
			Reason: found.reason, Detail: found.detail})
	}
	if a.tellNow(e.ID) {
		a.tell(ctx, slog.LevelWarn, e, "an export is stuck: "+found.detail, "status", e.Status, "since", since, "reason", found.reason)
	}
}

// tellNow reports whether the export is to be logged now. If so, it remembers the time.
func (a *Activities) tellNow(exportID string) bool {
	a.telling.Lock()
	defer a.telling.Unlock()
	if a.told == nil {
		a.told = map[string]time.Time{}
	}
	if time.Since(a.told[exportID]) < toldEvery {
		return false
	}
	a.told[exportID] = time.Now()
	return true
}

// forget forgets the exports that may be logged again.
func (a *Activities) forget() {
	a.telling.Lock()
	defer a.telling.Unlock()
	maps.DeleteFunc(a.told, func(_ string, at time.Time) bool { return time.Since(at) >= toldEvery })
}

// markdown returns what a run has done, for the Temporal UI.
func (r *Reconciled) markdown() string {
	var b strings.Builder
	b.WriteString(fmt.Sprintf("%d exports were overdue: %d started, %d settled. %d waiting exports were started. %d errors.\n", // not Fprintf, because workflowcheck rejects it
		r.Looked, r.Started, r.Settled, r.Dispatched, r.Errors))
	for _, reason := range Reasons {
		if n := r.StuckBy[reason]; n > 0 {
			b.WriteString(fmt.Sprintf("- stuck, %s: %d\n", reason, n))
		}
	}
	for _, s := range r.Stuck {
		b.WriteString(fmt.Sprintf("\n`export-%s` is %s since %s: %s\n", s.ExportID, s.Status, s.Since.UTC().Format(time.RFC3339), s.Detail))
	}
	return b.String()
}
