package worker_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"go.temporal.io/api/workflowservice/v1"

	"memexport/internal/service/export"
	"memexport/internal/workshop/await"
)

// savedQueries makes an export in each phase, and checks that the queries in docs/temporal-ui.md find exactly
// the exports that they are meant for.
func savedQueries(t *testing.T, b *buttonTable) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	ids := map[string]string{}
	for _, phase := range append(slices.Clone(phases), "paused", "terminated", "cancelled") {
		as := phase
		if !slices.Contains(phases, phase) {
			as = "READY"
		}
		id, err := b.prepare(ctx, as)
		if err != nil {
			t.Fatal(err)
		}
		ids[phase] = id
	}
	for phase, press := range map[string]func(string) error{
		"paused": func(id string) error { return pauseWorkflow(ctx, b.options.Client, id) },
		"terminated": func(id string) error {
			return b.options.Client.TerminateWorkflow(ctx, export.WorkflowID(id), "", "a test")
		},
		"cancelled": func(id string) error { return b.options.Client.CancelWorkflow(ctx, export.WorkflowID(id), "") },
	} {
		if err := press(ids[phase]); err != nil {
			t.Fatal(err)
		}
	}
	found := map[string][]string{
		"unfinished exports":           {"PENDING, no worker", "PROCESSING"},
		"unfinished for an hour":       {},
		"sleeping until they expire":   {"READY", "paused"},
		"expired, in the grace period": {"EXPIRED, in grace"},
		"failed":                       {"FAILED, closed"},
		"cancelled or terminated":      {"cancelled", "terminated"},
		"paused":                       {"paused"},
		"of one workspace":             {"FAILED, closed"},
		"in one format":                slices.Collect(maps.Keys(ids)),
		"with many memories":           {},
		"that expire before a time":    {"EXPIRED, in grace", "EXPIRED, closed", "cancelled"},
	}
	documented := tableWith(t, "| exports | query |\n")
	for name := range documented {
		if _, ok := found[name]; !ok && name != "---" {
			t.Errorf("no test runs the query for exports %s", name)
		}
	}
	placeholders := strings.NewReplacer("WORKSPACE", unreadableWorkspace, "AN-HOUR-AGO", time.Now().Add(-time.Hour).UTC().Format(time.RFC3339),
		"A-TIME", time.Now().Add(10*time.Minute).UTC().Format(time.RFC3339))
	for name, phases := range found {
		if len(documented[name]) != 1 {
			t.Errorf("docs/temporal-ui.md has no query for exports %s", name)
			continue
		}
		query := placeholders.Replace(strings.Trim(documented[name][0], "`"))
		var want, got []string
		for _, phase := range phases {
			want = append(want, export.WorkflowID(ids[phase]))
		}
		slices.Sort(want)
		await.True(t, patience, "the query for exports "+name+" finds them: "+query, func() bool {
			response, err := b.options.Client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Namespace: "default", Query: query})
			if err != nil {
				t.Fatalf("%s: %v", query, err)
			}
			got = nil
			for _, execution := range response.GetExecutions() {
				got = append(got, execution.GetExecution().GetWorkflowId())
			}
			slices.Sort(got)
			return slices.Equal(got, want)
		})
	}
	if err := b.gate.do(ctx, "pg_advisory_unlock", ids["PROCESSING"]); err != nil {
		t.Error(err)
	}
	b.workOn(b.options.TaskQueue+" "+ids["PENDING, no worker"], b.options.Activities)
}
