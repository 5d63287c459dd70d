package reconcile

import "memexport/internal/service/export"

// workflowState is the state of an export's workflow.
type workflowState string

const (
	running    workflowState = "running"
	missing    workflowState = "missing"    // it never started, or the namespace's retention has passed
	ended      workflowState = "ended"      // it completed, failed or was cancelled, and ran its own cleanup
	terminated workflowState = "terminated" // it was terminated or timed out: none of its code ran after that
)

// action is what Reconcile does to an export.
type action int

const (
	leave  action = iota // do nothing
	cancel               // cancel the workflow
	start                // start the workflow
	fail                 // make the export FAILED and delete its objects
	expire               // make the export EXPIRED; a later run purges it, when the grace period is over
	purge                // make the export EXPIRED if it is READY, and delete its objects
)

// decide returns what to do to an overdue export, and the failure code if that is fail. A running
// workflow is left to finish its own work, unless its export was deleted: then the cancellation that
// followed the deletion was lost.
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
	case unfinished: // the workflow ended without recording that
		return fail, export.CodeInternal

	case deleted:
		return purge, ""
	case e.StoredStatus == export.Ready && e.Status == export.Expired:
		return expire, ""
	case e.StoredStatus == export.Ready:
		return leave, ""
	}
	return purge, "" // FAILED or EXPIRED, and the objects are still there
}
