package main

import (
	"context"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
)

// row is what the table says about an export.
type row struct {
	ID      string     `db:"id"`
	Status  string     `db:"status"`
	Expires *time.Time `db:"expires_at"`
	Purged  *time.Time `db:"purged_at"`
	Deleted *time.Time `db:"deleted_at"`
	Parts   int        `db:"parts"`
}

// checkAftermath waits until every export is purged and no workflow runs, and then checks what is left.
func (w *world) checkAftermath(ctx context.Context) {
	var rows []row
	for {
		left, workflows, err := -1, int64(-1), error(nil)
		if rows, err = w.rows(ctx); err == nil {
			left = 0
			for _, r := range rows {
				if r.Purged == nil {
					left++
				}
			}
			workflows, err = w.runningWorkflows(ctx)
		}
		if err == nil && left == 0 && workflows == 0 {
			break
		}
		if !pause(ctx, time.Second) {
			w.violate("", "%s after the last fault, %d exports are not purged and %d workflows run: %v", w.bound, left, workflows, err)
			break
		}
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer stop()
	if err := w.tellWorkflows(ctx); err != nil {
		w.say("the running workflows cannot be described: %v", err)
	}
	w.checkRows(rows)
	w.checkBucket(ctx, rows)
	w.checkSecrecy()
}

func (w *world) rows(ctx context.Context) (rows []row, err error) {
	err = w.db.SelectContext(ctx, &rows, `SELECT id, status, expires_at, purged_at, deleted_at,
		(SELECT count(*) FROM memexport.export_parts p WHERE p.export_id = e.id) AS parts FROM memexport.exports e`)
	return rows, err
}

// runningExports selects the workflows of exports that have not ended.
const runningExports = "WorkflowType = 'Export' AND ExecutionStatus = 'Running'"

func (w *world) runningWorkflows(ctx context.Context) (int64, error) {
	found, err := w.operator.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{
		Namespace: client.DefaultNamespace, Query: runningExports})
	return found.GetCount(), err
}

// tellWorkflows says which workflows still run, and what each waits for.
func (w *world) tellWorkflows(ctx context.Context) error {
	found, err := w.operator.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Namespace: client.DefaultNamespace, Query: runningExports})
	if err != nil {
		return err
	}
	for _, info := range found.GetExecutions() {
		id := info.GetExecution().GetWorkflowId()
		described, err := w.operator.DescribeWorkflowExecution(ctx, id, "")
		if err != nil {
			return err
		}
		w.say("the workflow %s is %s, has %d events, the workflow task %v and the activities %v", id, info.GetStatus(),
			described.GetWorkflowExecutionInfo().GetHistoryLength(), described.GetPendingWorkflowTask(), described.GetPendingActivities())
	}
	return nil
}

// checkRows checks that no accepted export is lost, that each has ended, and that no file was deleted early.
func (w *world) checkRows(rows []row) {
	jobs := w.jobs.byID()
	for _, r := range rows {
		j := jobs[r.ID]
		delete(jobs, r.ID)
		if r.Status == "PENDING" || r.Status == "PROCESSING" || r.Status == "READY" {
			w.violate(r.ID, "in the end the row is %s", r.Status)
		}
		if r.Purged != nil && r.Parts > 0 {
			w.violate(r.ID, "the export is purged, but has %d rows of parts", r.Parts)
		}
		w.checkGrace(j, r)
	}
	for id := range jobs {
		w.violate(id, "the export was accepted, but has no row")
	}
	w.say("%d rows, %d of them of requests without an answer", len(rows), len(rows)-len(w.jobs.byID()))
}

// checkGrace checks that the objects of an expired export stayed for the grace period. It does not check exports that
// the customer deleted or whose workflow was cancelled, because the service then skips the grace period.
func (w *world) checkGrace(j *job, r row) {
	if j == nil || r.Status != "EXPIRED" || r.Purged == nil || r.Deleted != nil || !r.Purged.Before(r.Expires.Add(grace)) {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.cancelled && !j.deleted && !j.hasty && j.timely() {
		j.hasty = true
		w.violate(r.ID, "the file was deleted %s before the end of the grace period", r.Expires.Add(grace).Sub(*r.Purged))
	}
}

// watchRows looks during the run for files that were deleted too early, and for workspaces that exceed their limits.
func (w *world) watchRows(ctx context.Context) {
	for pause(ctx, 5*time.Second) {
		w.checkLimits(ctx)
		rows, err := w.rows(ctx)
		if err != nil {
			continue // Postgres is away
		}
		jobs := w.jobs.byID()
		for _, r := range rows {
			w.checkGrace(jobs[r.ID], r)
		}
	}
}

// checkLimits checks how many exports of each workspace run and wait.
func (w *world) checkLimits(ctx context.Context) {
	var exceeded []struct {
		Workspace           string `db:"workspace_id"`
		Running, Unfinished int
	}
	if err := w.db.SelectContext(ctx, &exceeded, `SELECT * FROM (SELECT workspace_id, count(*) FILTER (WHERE dispatched_at IS NOT NULL) AS running,
		count(*) FILTER (WHERE dispatched_at IS NOT NULL OR deleted_at IS NULL) AS unfinished
		FROM memexport.exports WHERE status IN ('PENDING', 'PROCESSING') GROUP BY workspace_id) w WHERE running > $1 OR unfinished > $2`,
		maxRunning, maxUnfinished); err != nil {
		return // Postgres is away
	}
	for _, e := range exceeded {
		w.violate("", "the workspace %s has %d exports that run, and %d unfinished ones", e.Workspace, e.Running, e.Unfinished)
	}
}

// checkBucket checks that no object is left. An object that an attempt wrote after the purge may stay for a
// day, so such objects are only counted.
func (w *world) checkBucket(ctx context.Context, rows []row) {
	purged, jobs := map[string]*time.Time{}, w.jobs.byID()
	for _, r := range rows {
		purged[r.ID] = r.Purged
	}
	objects, err := w.objects(ctx)
	if err != nil {
		w.violate("", "the bucket cannot be listed: %v", err)
	}
	for _, o := range objects {
		id := path.Base(path.Dir(o.key))
		if id == "memexport-probe" { // left by a worker that was killed while it started; the sweep deletes probes after a day
			w.count("probes of killed workers")
			continue
		}
		switch at := purged[id]; {
		case at == nil:
			w.violate(id, "an object is left of an export that is unknown or not purged: %s", o.key)
		case o.when.After(at.Add(-time.Second)): // S3 returns times in whole seconds
			w.count("objects written after the purge")
		case jobs[id] != nil && !jobs[id].timely():
			w.count("objects written before or after the purge")
		default:
			w.violate(id, "an object is left that is older than the purge by %s: %s", at.Sub(o.when), o.key)
		}
	}
}

// checkSecrecy looks for the canary in the logs of the service and in the files of Temporal, and for panics.
func (w *world) checkSecrecy() {
	files, _ := filepath.Glob(filepath.Join(w.dir, "*.*")) // the only error is a malformed pattern
	for _, file := range files {
		name := filepath.Base(file)
		if strings.HasPrefix(name, "postgres") || !strings.Contains(name, ".log") && !strings.Contains(name, ".db") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			w.violate("", "%v", err)
			continue
		}
		if strings.Contains(string(text), canary) {
			w.violate("", "%s contains the text of a memory", name)
		}
		if strings.Contains(name, ".log") && strings.Contains(string(text), "panic:") {
			w.violate("", "%s contains a panic", name)
		}
		w.count("logs and state files searched")
	}
}
