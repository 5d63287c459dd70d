package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/activity"

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
		done.add(Stuck{ExportID: e.ID, WorkspaceID: e.WorkspaceID, Status: e.Status, Since: since, Reason: found.reason, Detail: found.detail})
	}
	return err
}

func (r *Reconciled) add(s Stuck) {
	if r.StuckBy == nil {
		r.StuckBy = map[Reason]int{}
	}
	r.StuckBy[s.Reason]++
	if len(r.Stuck) < reported {
		r.Stuck = append(r.Stuck, s)
	}
}

// tell logs one line for each reported export that this worker has not logged within toldEvery.
func (a *Activities) tell(ctx context.Context, stuck []Stuck) {
	a.telling.Lock()
	defer a.telling.Unlock()
	for id := range a.told {
		if !slices.ContainsFunc(stuck, func(s Stuck) bool { return s.ExportID == id }) {
			delete(a.told, id)
		}
	}
	for _, s := range stuck {
		if time.Since(a.told[s.ExportID]) < toldEvery {
			continue
		}
		if a.told == nil {
			a.told = map[string]time.Time{}
		}
		a.told[s.ExportID] = time.Now()
		activity.GetLogger(ctx).Warn("an export is stuck: "+s.Detail, "export_id", s.ExportID, "workspace_id", s.WorkspaceID,
			"status", s.Status, "since", s.Since, "reason", s.Reason)
	}
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
