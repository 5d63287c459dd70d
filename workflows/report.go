package workflows

import (
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"memexport/activities"
	"memexport/internal/service/export"
)

// report is what the Temporal UI shows of an export.
type report struct {
	status    export.Status
	ranges    int
	done      int
	written   activities.Written
	expiresAt time.Time
	failure   string
	purged    bool
}

// show updates what an operator sees: the current details and the search attributes.
func (e *run) show(ctx workflow.Context, status export.Status) {
	changed := e.report.status != status
	e.report.status = status
	workflow.SetCurrentDetails(ctx, e.report.markdown())
	if !changed || !e.attributes {
		return
	}
	updates := []temporal.SearchAttributeUpdate{
		AttributeStatus.ValueSet(string(status)),
		AttributeMemories.ValueSet(e.report.written.Memories),
	}
	if !e.report.expiresAt.IsZero() {
		updates = append(updates, AttributeExpiresAt.ValueSet(e.report.expiresAt))
	}
	if err := workflow.UpsertTypedSearchAttributes(ctx, updates...); err != nil {
		workflow.GetLogger(ctx).Warn("search attributes were not updated", "error", err)
	}
}

func (r *report) markdown() string {
	var b strings.Builder
	b.WriteString("**" + string(r.status) + "**\n\n")
	if r.failure != "" {
		b.WriteString("- failed with `" + r.failure + "`\n")
	}
	b.WriteString(fmt.Sprintf("- %d of %d ranges written\n- %d memories, %d bytes in %d parts\n", // workflowcheck refuses Fprintf
		r.done, r.ranges, r.written.Memories, r.written.Bytes, r.written.Parts))
	if !r.expiresAt.IsZero() {
		b.WriteString("- expires " + r.expiresAt.UTC().Format(time.RFC3339) + "\n")
	}
	if r.purged {
		b.WriteString("- its objects have been deleted\n")
	}
	return b.String()
}
