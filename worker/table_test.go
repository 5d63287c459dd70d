package worker_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	sdkworker "go.temporal.io/sdk/worker"
	"golang.org/x/sync/errgroup"

	"memexport/activities"
	"memexport/api"
	"memexport/internal/service/apikey"
	"memexport/internal/service/export"
	"memexport/internal/workshop/temporaltest"
	"memexport/reconcile"
	"memexport/workflows"
)

// phases are the phases of an export's life in which every button is pressed, as the docs name them.
var phases = []string{"PENDING, no worker", "PROCESSING", "READY", "EXPIRED, in grace", "EXPIRED, closed", "FAILED, closed"}

// unreadableWorkspace has a memory that cannot be exported.
const unreadableWorkspace = "0190a000-0000-4000-8000-0000000000bb"

// memoriesOfTheTable is the number of memories in each export. Plan alone would write an export of at most 11,000
// memories, but the buttons need one with WriteRange.
const memoriesOfTheTable = 12_000

// buttonTable is the service on which the buttons are pressed: workers, the API, and their database.
type buttonTable struct {
	*site
	url  string            // of the API
	keys map[string]string // an API key for each workspace
	gate gate
	errs atomic.Int64 // exports that runs of Reconcile could not settle
}

// gate keeps exports from recording parts.
type gate struct {
	mu   sync.Mutex
	conn *sql.Conn // holds an advisory lock for each export that is blocked
}

func (g *gate) do(ctx context.Context, function, id string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, err := g.conn.ExecContext(ctx, `SELECT `+function+`(4711, hashtext($1))`, id)
	return err
}

// TestTheTemporalUI runs its subtests on one Temporal server, one after the other.
func TestTheTemporalUI(t *testing.T) {
	b := newButtonTable(t)
	t.Run("TheSavedQueriesFindWhatTheySay", func(t *testing.T) { savedQueries(t, b) })
	t.Run("RunsOfAScheduleMayOverlap", func(t *testing.T) { overlappingRuns(t, b) })
	t.Run("EveryButtonInEveryPhase", func(t *testing.T) { everyButton(t, b) })
}

// everyButton presses every button of the Temporal UI in every phase of an export, and compares the outcomes
// with the table in docs/temporal-ui.md. A cell says whether the button was refused. It also holds the status
// and the failure code of the export in the database, and the status of the workflow.
func everyButton(t *testing.T, b *buttonTable) {
	var before int
	if err := b.db.Get(&before, `SELECT count(*) FROM memexport.exports`); err != nil {
		t.Fatal(err)
	}
	want := documentedTable(t)
	pressed := buttons()
	got := make([][]string, len(pressed))
	ids := make([][]string, len(pressed))
	var group errgroup.Group
	group.SetLimit(6) // each call of row needs two connections to the database while the gate blocks its export
	for i, button := range pressed {
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			began := time.Now()
			got[i], ids[i] = b.row(ctx, button, want[button.name])
			t.Logf("%s: %v", button.name, time.Since(began).Round(10*time.Millisecond))
			return nil
		})
	}
	_ = group.Wait() // the functions return no error
	var table strings.Builder
	fmt.Fprintf(&table, "| button | %s |\n|%s\n", strings.Join(phases, " | "), strings.Repeat(" --- |", 1+len(phases)))
	for i, button := range pressed {
		fmt.Fprintf(&table, "| %s | %s |\n", button.name, strings.Join(got[i], " | "))
		for j, cell := range got[i] {
			if documented := want[button.name]; j >= len(documented) || documented[j] != cell {
				t.Errorf("%s in the phase %q: %s, but docs/temporal-ui.md says %v", button.name, phases[j], cell, documented)
			}
			// Look again after all buttons have been pressed: the outcome must not have changed.
			if later, err := b.outcome(t.Context(), ids[i][j]); err != nil || !strings.HasSuffix(cell, later) {
				t.Errorf("%s in the phase %q: %s, and later %s: %v", button.name, phases[j], cell, later, err)
			}
		}
	}
	t.Log("\n" + table.String())
	for i, button := range pressed {
		if button.name == pauseButton {
			b.restart(ids[i][0])
		}
	}
	b.wantExports(before + len(pressed)*len(phases))
	b.wantSameFiles()
	b.wantAllGone()
}

func newButtonTable(t *testing.T) *buttonTable {
	b := &buttonTable{site: newSite(t, dial(t, temporaltest.Start(t))), keys: map[string]string{}}
	b.exec(`ALTER TABLE memories ALTER updated_at DROP NOT NULL`)
	for workspace, memories := range map[string]int{workspaceID: memoriesOfTheTable, unreadableWorkspace: 1} {
		b.exec(`INSERT INTO memories (id, memory, priority, status, workspace_id)
			SELECT gen_random_uuid(), 'a fact', 'LOW', 'COMPLETED', $1 FROM generate_series(1, $2)`, workspace, memories)
		secret, _, err := apikey.NewStore(b.db).Create(t.Context(), workspace, "a test", apikey.TestPrefix, apikey.Permissions)
		if err != nil {
			t.Fatal(err)
		}
		b.keys[workspace] = secret
	}
	b.exec(`UPDATE memories SET updated_at = NULL WHERE workspace_id = $1`, unreadableWorkspace)
	b.exec(`ANALYZE memories`)
	b.exec(`CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			PERFORM pg_advisory_xact_lock_shared(4711, hashtext(NEW.export_id::text)); RETURN NEW;
		END $$;
		CREATE TRIGGER hold BEFORE INSERT ON memexport.export_parts FOR EACH ROW EXECUTE FUNCTION hold()`)
	var err error
	if b.gate.conn, err = b.db.Conn(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.gate.conn.Close() })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := api.New(api.Options{Exports: b.exports, Keys: apikey.NewStore(b.db), Archive: b.options.Activities.Archive, Starter: b.starter, Log: silent})
	go func() { _ = server.Serve(listener) }() // ends when the server is closed
	t.Cleanup(func() { server.Close() })
	b.url = "http://" + listener.Addr().String()
	b.options.Activities.Grace = time.Hour
	b.options.Concurrency, b.options.ReconcileEvery = 32, time.Second
	b.options.Reconciler.Observe = func(done reconcile.Reconciled) { b.errs.Add(int64(done.Errors)) }
	b.run(b.options)
	withoutGrace := *b.options.Activities
	withoutGrace.Grace = 0
	b.workOn(b.options.TaskQueue+" without grace", &withoutGrace)
	return b
}

// workOn runs a worker on a task queue until the test ends. The worker runs only the workflow Export and its
// activities.
func (b *buttonTable) workOn(queue string, steps *activities.Activities) {
	w := sdkworker.New(b.options.Client, queue, sdkworker.Options{MaxHeartbeatThrottleInterval: time.Second,
		WorkflowTaskPollerBehavior: sdkworker.NewPollerBehaviorAutoscaling(sdkworker.PollerBehaviorAutoscalingOptions{})})
	w.RegisterWorkflow(workflows.Export)
	w.RegisterActivity(steps)
	if err := w.Start(); err != nil {
		b.Error(err)
		return
	}
	b.Cleanup(w.Stop)
}

// row presses a button on one export in each phase, and returns the outcomes and the ids of the exports.
func (b *buttonTable) row(ctx context.Context, button button, want []string) (cells, ids []string) {
	refused := map[string]bool{}
	for _, phase := range phases {
		id, err := b.prepare(ctx, phase)
		if err != nil {
			b.Errorf("%s: prepare an export that is %s: %v", button.name, phase, err)
		}
		ids = append(ids, id)
	}
	for i, id := range ids {
		if err := button.press(ctx, b.options.Client, id); err != nil {
			refused[id] = true
			b.Logf("%s in the phase %q is refused: %v", button.name, phases[i], err)
		}
	}
	if err := b.gate.do(ctx, "pg_advisory_unlock", ids[1]); err != nil {
		b.Error(err)
	}
	for _, id := range ids {
		if button.finish != nil && !refused[id] {
			if err := button.finish(ctx, b.options.Client, id); err != nil {
				// This happens if a paused activity has completed, because a pause does not stop a running attempt.
				b.Logf("%s cannot be undone: %v", button.name, err)
			}
		}
	}
	b.workOn(b.options.TaskQueue+" "+ids[0], b.options.Activities)
	for i, id := range ids {
		// Make the export old enough for the reconciler.
		if _, err := b.db.ExecContext(ctx, `UPDATE memexport.exports SET updated_at = updated_at - interval '1 minute' WHERE id = $1 AND status IN ('PENDING', 'PROCESSING')`, id); err != nil {
			b.Error(err)
		}
		cell, began := "", time.Now()
		for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			outcome, err := b.outcome(ctx, id)
			if err != nil {
				outcome = err.Error()
			}
			if cell = outcome; refused[id] {
				cell = "refused; " + outcome
			}
			if i < len(want) && cell == want[i] {
				break
			}
		}
		cells = append(cells, cell)
		if took := time.Since(began); took > 5*time.Second {
			b.Logf("%s in the phase %q took %v", button.name, phases[i], took.Round(time.Second))
		}
	}
	return cells, ids
}

// prepare creates an export, brings it into a phase and returns its id.
func (b *buttonTable) prepare(ctx context.Context, phase string) (id string, err error) {
	queue, workspace := b.options.TaskQueue, workspaceID
	switch phase {
	case "EXPIRED, closed":
		queue += " without grace"
	case "FAILED, closed":
		workspace = unreadableWorkspace
	}
	e := export.Export{WorkspaceID: workspace, Format: "json"}
	if e, err = b.exports.Create(ctx, e); err != nil {
		return "", err
	}
	if phase == "PENDING, no worker" {
		queue += " " + e.ID
	}
	if phase == "PROCESSING" {
		if err := b.gate.do(ctx, "pg_advisory_lock", e.ID); err != nil {
			return e.ID, err
		}
	}
	if err := workflows.NewStarter(b.options.Client, "default", queue).Start(ctx, e); err != nil {
		return e.ID, err
	}
	reached := map[string]string{"PENDING, no worker": "PENDING, Running", "PROCESSING": "PROCESSING, Running", "FAILED, closed": "FAILED SOURCE_INVALID, Failed"}
	if want, ok := reached[phase]; ok {
		return e.ID, b.until(ctx, e.ID, want)
	}
	if err := b.until(ctx, e.ID, "READY, Running"); err != nil || phase == "READY" {
		return e.ID, err
	}
	if err := update(workflows.UpdateExpireNow)(ctx, b.options.Client, e.ID); err != nil {
		return e.ID, err
	}
	return e.ID, b.until(ctx, e.ID, map[string]string{"EXPIRED, in grace": "EXPIRED, Running", "EXPIRED, closed": "EXPIRED, Completed"}[phase])
}

// until waits until an export has the wanted outcome. For PROCESSING, it also waits until the activity
// WriteRange is running.
func (b *buttonTable) until(ctx context.Context, id, want string) error {
	for {
		got, err := b.outcome(ctx, id)
		if err == nil && got == want && (!strings.HasPrefix(want, "PROCESSING") || b.writing(ctx, id)) {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("the export is %s, want %s: %w", got, want, errors.Join(err, ctx.Err()))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (b *buttonTable) writing(ctx context.Context, id string) bool {
	described, err := b.options.Client.DescribeWorkflowExecution(ctx, export.WorkflowID(id), "")
	pending := described.GetPendingActivities()
	return err == nil && len(pending) == 1 && pending[0].GetActivityType().GetName() == "WriteRange" && pending[0].GetState() == enumspb.PENDING_ACTIVITY_STATE_STARTED
}

// documentedTable returns the table of buttons in docs/temporal-ui.md. It maps the name of a button to the
// cells of the button's row.
func documentedTable(t *testing.T) map[string][]string {
	t.Helper()
	return tableWith(t, "| button | "+strings.Join(phases, " | ")+" |\n")
}

// tableWith returns the rows of the table with this heading in docs/temporal-ui.md, by their first cell.
func tableWith(t *testing.T, heading string) map[string][]string {
	t.Helper()
	page, err := os.ReadFile("../docs/temporal-ui.md")
	if err != nil {
		t.Fatal(err)
	}
	cells := map[string][]string{}
	_, table, found := strings.Cut(string(page), heading)
	if !found {
		t.Errorf("docs/temporal-ui.md has no table with the heading %s", heading)
	}
	table, _, _ = strings.Cut(table, "\n\n")
	for _, row := range regexp.MustCompile(`(?m)^\| (.*) \|$`).FindAllStringSubmatch(table, -1) {
		columns := strings.Split(row[1], " | ")
		cells[columns[0]] = columns[1:]
	}
	return cells
}
