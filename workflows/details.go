package workflows

import (
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"memexport/internal/service/export"
)

// details holds the status and the progress of an export, which the Temporal UI shows.
type details struct {
	status     export.Status
	ranges     int
	rangesDone int
	written    export.Written
	expiresAt  time.Time
	failure    string // the failure code
	purged     bool
	deleted    bool // the owner deleted the export
}

// show sets the status and shows the details in the Temporal UI as the workflow's current details. If
// the status has changed, it also updates the search attributes.
func (r *run) show(ctx workflow.Context, status export.Status) {
	changed := r.details.status != status
	r.details.status = status
	workflow.SetCurrentDetails(ctx, r.details.markdown())
	if !changed || !r.attributes {
		return
	}
	updates := []temporal.SearchAttributeUpdate{
		AttributeStatus.ValueSet(string(status)),
		AttributeMemories.ValueSet(r.details.written.Memories),
	}
	if !r.details.expiresAt.IsZero() {
		updates = append(updates, AttributeExpiresAt.ValueSet(r.details.expiresAt))
	}
	if err := workflow.UpsertTypedSearchAttributes(ctx, updates...); err != nil {
		workflow.GetLogger(ctx).Warn("the search attributes could not be updated", "error", err)
	}
}

func (d *details) markdown() string {
	var b strings.Builder
	b.WriteString("**" + string(d.status) + "**\n\n")
	if d.failure != "" {
		b.WriteString("- failed with `" + d.failure + "`\n")
	}
	b.WriteString(fmt.Sprintf("- %d of %d ranges written\n- %d memories, %d bytes in %d parts\n", // not Fprintf, because workflowcheck rejects it
		d.rangesDone, d.ranges, d.written.Memories, d.written.Bytes, d.written.Parts))
	if !d.expiresAt.IsZero() {
		b.WriteString("- expires " + d.expiresAt.UTC().Format(time.RFC3339) + "\n")
	}
	if d.deleted {
		b.WriteString("- deleted by its owner\n")
	}
	if d.purged {
		b.WriteString("- its objects have been deleted\n")
	}
	return b.String()
}
