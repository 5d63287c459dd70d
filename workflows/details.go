package workflows

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"memexport/internal/service/export"
)

// details holds the status and the progress of an export, which the Temporal UI shows.
type details struct {
	status     export.Status
	ranges     int
	rangesDone int
	estimate   int64 // memories, as estimated by the plan
	written    export.Written
	began      time.Time // when the ranges were started
	updated    time.Time // when the details were last shown
	expiresAt  time.Time
	purgeAt    time.Time // when the objects are deleted
	failure    string    // the failure code
	cause      string    // the error behind the failure code
	purged     bool
	deleted    bool   // the owner deleted the export
	docs       string // where the pages of docs/ are; may be empty
}

// show sets the status and shows the details in the Temporal UI as the workflow's current details. If
// the status has changed, it also updates the search attributes.
func (r *run) show(ctx workflow.Context, status export.Status) {
	changed := r.details.status != status
	r.details.status, r.details.updated = status, workflow.Now(ctx)
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

// markdown returns the details as a list. It uses Sprintf and not Fprintf, because workflowcheck rejects
// Fprintf.
func (d *details) markdown() string {
	var b strings.Builder
	b.WriteString("**" + string(d.status) + "**")
	if d.status == export.Processing && d.estimate > 0 {
		b.WriteString(fmt.Sprintf(", about %d %% written", d.percent()))
	}
	b.WriteString("\n\n")
	if d.failure != "" {
		b.WriteString("- failed with `" + d.failure + "`")
		if d.cause != "" {
			b.WriteString(", because of " + d.cause)
		}
		b.WriteString("\n- what to do: " + page(d.docs, "docs/architecture.md#why-an-export-is-failed") + "\n")
	}
	if d.ranges > 0 {
		b.WriteString(fmt.Sprintf("- %d of %d ranges written\n", d.rangesDone, d.ranges))
	}
	b.WriteString(fmt.Sprintf("- %s memories, %s", humanize.Comma(d.written.Memories), humanize.Bytes(uint64(d.written.Bytes))))
	if d.written.Parts > 0 {
		b.WriteString(fmt.Sprintf(" in %s parts", humanize.Comma(int64(d.written.Parts))))
	}
	b.WriteString("\n" + d.speed())
	if !d.expiresAt.IsZero() {
		verb := "expires "
		if d.status == export.Expired {
			verb = "expired "
		}
		b.WriteString("- " + verb + d.expiresAt.UTC().Format(time.RFC3339) + "\n")
	}
	if d.deleted {
		b.WriteString("- deleted by its owner\n")
	}
	if !d.purged && d.status == export.Expired {
		b.WriteString("- its objects are deleted at " + d.purgeAt.UTC().Format(time.RFC3339) + "\n")
	}
	if d.purged {
		b.WriteString("- its objects have been deleted\n")
	}
	return b.String()
}

// percent returns how much of the estimate is written. It stays below 100, because the estimate may be too
// low and the file must still be verified.
func (d *details) percent() int64 {
	return min(99, 100*d.written.Memories/max(1, d.estimate))
}

// speed returns a line with the number of memories written per second and the time that the remaining
// memories need. The line is empty until a range is written. The details change only when a range is written,
// so the line says at what time it was true.
func (d *details) speed() string {
	elapsed := d.updated.Sub(d.began).Seconds()
	if d.status != export.Processing || d.written.Memories == 0 || elapsed < 1 {
		return ""
	}
	rate := float64(d.written.Memories) / elapsed
	line := "- " + humanize.Comma(int64(rate)) + " memories a second"
	if left := d.estimate - d.written.Memories; left > 0 {
		line += fmt.Sprintf(", about %s left", time.Duration(float64(left)/rate*float64(time.Second)).Round(time.Second))
	}
	return line + " (at " + d.updated.UTC().Format(time.TimeOnly) + " UTC)\n"
}

// causeOf returns the type and the message of the error with which an activity failed. Neither contains a
// memory's content: see package attempt.
func causeOf(err error) string {
	var applicationErr *temporal.ApplicationError
	var timeoutErr *temporal.TimeoutError
	switch {
	case temporal.IsCanceledError(err):
		return "a cancellation of the workflow"
	case errors.As(err, &applicationErr):
		return "`" + applicationErr.Type() + "`: " + applicationErr.Message()
	case errors.As(err, &timeoutErr):
		return "a timeout: " + timeoutErr.TimeoutType().String()
	}
	return err.Error()
}
