package reconcile

import "memexport/internal/service/export"

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

// decide returns the action for an overdue export, and the failure code if the action is fail. If the
// workflow is still running, decide returns leave. The exception is a deleted export: the deletion should
// have cancelled the workflow, so the cancellation was lost, and decide returns cancel to repeat it.
func decide(e export.Export, state workflowState) (action, string) {
	deleted := e.DeletedAt != nil
	unfinished := !e.StoredStatus.Terminal()
	switch {
	case state == running && deleted:
		return cancel, ""
	case state == running:
		return leave, ""

	case unfinished && deleted:
		return fail, export.CodeCancelled
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
