package reconcile

import (
	"time"

	"memexport/internal/service/export"
)

// workflowState is the state of an export's workflow.
type workflowState string

const (
	running    workflowState = "running"
	missing    workflowState = "missing"    // the workflow never started, or it ended so long ago that Temporal has deleted its history
	ended      workflowState = "ended"      // the workflow completed, failed or was cancelled, and did its own cleanup
	terminated workflowState = "terminated" // the workflow was terminated or timed out, so it did no cleanup
)

// action is what Reconcile does to an export.
type action int

const (
	leave  action = iota // do nothing
	cancel               // cancel the workflow
	start                // start the workflow
	fail                 // make the export FAILED and delete its objects
	expire               // make the export EXPIRED; a later run deletes its objects when the grace period is over
	purge                // make the export EXPIRED if it is READY, and delete its objects
)

// String returns the name of an action, for the log.
func (a action) String() string {
	return [...]string{leave: "leave", cancel: "cancel", start: "start", fail: "fail", expire: "expire", purge: "purge"}[a]
}

// decide returns the action for an overdue export, and the failure code if the action is fail.
//
// A running workflow settles its export by itself, so decide leaves the export alone unless late is true.
// If late is true, the workflow is probably paused, or no worker runs it. But only the workflow can finish
// an export. So decide leaves an unfinished export alone even if it is late, unless the export was deleted.
// If an export was deleted and is not late, its cancellation may have been lost. So decide cancels the
// workflow again.
func decide(e export.Export, state workflowState, late bool) (action, string) {
	deleted := e.DeletedAt != nil
	unfinished := !e.StoredStatus.Terminal()
	waits := state == running && !late
	switch {
	case waits && deleted:
		return cancel, ""
	case waits:
		return leave, ""

	case unfinished && deleted:
		return fail, export.CodeCancelled
	case unfinished && state == running:
		return leave, ""
	case unfinished && state == missing:
		return start, ""
	case unfinished && state == terminated:
		return fail, export.CodeTerminated
	case unfinished: // the workflow ended without recording its end in the row
		return fail, export.CodeInternal

	case deleted:
		return purge, ""
	case e.StoredStatus == export.Ready && e.Status == export.Expired:
		return expire, ""
	case e.StoredStatus == export.Ready:
		return leave, ""
	}
	return purge, "" // the export is FAILED or EXPIRED, and its objects still exist
}

// lateness is how long a running workflow may delay the next step of its export. After that, Reconcile
// takes the step itself. A restart of all workers delays a step by less.
const lateness = 5 * time.Minute

// late reports whether the next step of an overdue export was due more than lateness ago. The next step of
// a deleted export is its cleanup.
func late(e export.Export, grace time.Duration) bool {
	var due time.Time
	switch {
	case e.DeletedAt != nil:
		due = *e.DeletedAt
	case e.StoredStatus == export.Ready:
		due = *e.ExpiresAt
	default:
		due = e.UpdatedAt.Add(grace)
	}
	return time.Since(due) > lateness
}
