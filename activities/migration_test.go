package activities_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/temporal"

	"memexport/activities"
	"memexport/internal/service/attempt"
	"memexport/internal/service/export"
	"memexport/internal/service/format"
	"memexport/internal/workshop/pgtest"
)

// A migration of the memory service may take the table, a column or a permission away for a moment.
func TestATableThatIsAwayForAMomentOnlyDelaysTheExport(t *testing.T) {
	h := newHarness(t)
	h.PartSize = 8 << 10
	h.fill(200)
	h.readAs("reader_of_activities")
	for name, c := range map[string]struct{ take, giveBack, says string }{
		"renamed":    {`ALTER TABLE memories RENAME TO moved`, `ALTER TABLE moved RENAME TO memories`, "42P01"},
		"column":     {`ALTER TABLE memories RENAME COLUMN created_at TO made`, `ALTER TABLE memories RENAME COLUMN made TO created_at`, "42703"},
		"permission": {`REVOKE SELECT ON memories FROM reader_of_activities`, `GRANT SELECT ON memories TO reader_of_activities`, "42501"},
		"row-level security": {`ALTER TABLE memories ENABLE ROW LEVEL SECURITY; CREATE POLICY none ON memories USING (false)`,
			`DROP POLICY none ON memories; ALTER TABLE memories DISABLE ROW LEVEL SECURITY`, "42501"},
		"another type": {`ALTER TABLE memories ALTER workspace_id TYPE text`, `ALTER TABLE memories ALTER workspace_id TYPE uuid USING workspace_id::uuid`, "42883"},
	} {
		t.Run(name, func(t *testing.T) {
			h := h.in(t)
			id := h.create(format.JSON)
			h.exec(c.take)
			_, err := do[activities.PlanResult](h, h.Plan, activities.PlanInput{ExportID: id})
			wantChanged(t, err, c.says)
			h.exec(c.giveBack)
			plan := must[activities.PlanResult](h, h.Plan, activities.PlanInput{ExportID: id})
			in := activities.WriteRangeInput{ExportID: id, Range: plan.Ranges[0].Range}
			h.exec(c.take)
			_, err = do[export.Written](h, h.WriteRange, in)
			wantChanged(t, err, c.says)
			h.exec(c.giveBack)
			must[activities.PublishResult](h, h.Publish, h.written(id, plan))
			h.wantFile(id, format.JSON)
		})
	}
}

// readAs creates a role that may only read memories, and makes the activities read as this role. role must be unique
// among all tests, because they share one Postgres.
func (h *harness) readAs(role string) {
	h.Helper()
	h.exec(`CREATE ROLE ` + role)
	h.Cleanup(func() { h.exec(`DROP OWNED BY ` + role + `; DROP ROLE ` + role) })
	h.exec(`GRANT SELECT ON memories TO ` + role)
	separator := "?"
	if strings.Contains(h.url, "?") {
		separator = "&"
	}
	h.readOver(pgtest.OpenURL(h.T, h.url+separator+"role="+role, 4), "memories")
}

// wantChanged checks that Temporal retries the activity, but not at once, and that the error names the table
// and the SQLSTATE.
func wantChanged(t *testing.T, err error, state string) {
	t.Helper()
	if wantRetryable(t, err, attempt.TypeSourceChanged); err == nil {
		return
	}
	var applicationErr *temporal.ApplicationError
	if !errors.As(err, &applicationErr) || applicationErr.NextRetryDelay() != 15*time.Second {
		t.Errorf("the error %v has the wrong delay", err)
	}
	for _, part := range []string{`"memories"`, state, "MEMORIES_TABLE"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error is %v; it lacks %s", err, part)
		}
	}
}
