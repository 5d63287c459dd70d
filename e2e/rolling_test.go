package e2e

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	temporalclient "go.temporal.io/sdk/client"

	"memexport/internal/workshop/await"
)

// stop tells a process to stop, and checks that it ends without an error.
func (c *command) stop(t *testing.T) {
	t.Helper()
	c.Signal(syscall.SIGTERM)
	c.wantCode(t, 0)
}

func TestARollingRestartOfAllWorkersDuringAnExportChangesNoByte(t *testing.T) {
	t.Parallel()
	d := newDeployment(t, "rolling")
	_, url := d.api(t)
	workers := []*command{d.worker(t), d.worker(t)}
	c := d.tenant(t, url, 510_000)
	began := time.Now()
	undisturbed := c.ready(t, c.create(t, "format=json").ID, 5*time.Minute)
	t.Logf("undisturbed, the export took %s", time.Since(began).Round(time.Millisecond))

	began = time.Now()
	e, _ := c.createUntil(t, "format=json", 10)
	for i := range workers {
		next := d.worker(t)
		workers[i].stop(t)
		workers[i] = next
	}
	e = c.ready(t, e.ID, 5*time.Minute)
	t.Logf("with both workers replaced, it took %s", time.Since(began).Round(time.Millisecond))
	writers, timeouts := d.writers(t, e.ID)
	t.Logf("ranges by worker: %v", writers)
	same(t, "activities that timed out", timeouts, 0)
	same(t, "the file", c.digest(t, e), c.digest(t, undisturbed))

	var recorded int
	if err := openDatabase(t, d.database).QueryRow(`SELECT count(*) FROM memexport.export_parts WHERE export_id = $1`, e.ID).Scan(&recorded); err != nil {
		t.Fatal(err)
	}
	inVain := len(objects(t, filepath.Join(d.dir, "bucket"), e.ID)) - recorded
	t.Logf("%d parts were stored, and %d more in vain", recorded, inVain)
	// A worker writes at most two ranges at a time (WORKER_CONCURRENCY), each with at most two parts that are
	// not recorded yet.
	if inVain > 4*len(workers) {
		t.Errorf("%d parts were stored in vain", inVain)
	}
}

// A build that became current must take over what older builds have begun: exports that run, and exports
// that sleep until they expire.
func TestANewBuildTakesOverExportsThatRunOrSleep(t *testing.T) {
	t.Parallel()
	d := newDeployment(t, "builds")
	d.env = append(d.env, "EXPORT_GRACE=0s")
	_, url := d.api(t)
	c := d.tenant(t, url, 300_000)
	v := dialVersions(t, d)

	first := d.worker(t, "WORKER_BUILD_ID=1")
	v.setCurrent(t, "1")
	sleeper := c.ready(t, c.create(t, "format=csv").ID, 5*time.Minute)
	v.wantBuild(t, sleeper.ID, "1")
	another := c.ready(t, c.create(t, "format=csv").ID, 5*time.Minute)

	second := d.worker(t, "WORKER_BUILD_ID=2")
	running, at := c.createUntil(t, "format=csv", 5)
	resume := freeze(t, first.PID()) // the export must not end before build 1 is told to stop
	v.setCurrent(t, "2")
	first.Signal(syscall.SIGTERM)
	resume()
	first.wantCode(t, 0)
	t.Logf("build 2 is current, and build 1 was stopped at %d %% or more", at)
	running = c.ready(t, running.ID, 5*time.Minute)
	v.wantBuild(t, running.ID, "2")
	same(t, "the file of two builds", c.digest(t, running), c.digest(t, sleeper))
	_, timeouts := d.writers(t, running.ID)
	same(t, "activities that timed out", timeouts, 0)
	v.wantExpires(t, c.client, sleeper.ID, "2")

	// Roll back to build 1.
	first = d.worker(t, "WORKER_BUILD_ID=1")
	v.setCurrent(t, "1")
	second.stop(t)
	v.wantExpires(t, c.client, running.ID, "1")
	v.wantExpires(t, c.client, another.ID, "1")
	v.wantBuild(t, c.ready(t, c.create(t, "format=csv").ID, 5*time.Minute).ID, "1")
	first.stop(t)
}

// versions is a client of Temporal. It sets the current build and checks which build ran a workflow.
type versions struct {
	temporalclient.Client
	dir string
}

func dialVersions(t *testing.T, d *deployment) *versions {
	t.Helper()
	c, err := temporalclient.Dial(temporalclient.Options{HostPort: d.temporal.Address})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return &versions{Client: c, dir: d.dir}
}

// setCurrent makes a build the current one. It retries, because Temporal learns of a build some time after
// the worker has started, and because a call may time out on a busy machine.
func (v *versions) setCurrent(t *testing.T, build string) {
	t.Helper()
	handle := v.WorkerDeploymentClient().GetHandle("memexport")
	await.True(t, 2*time.Minute, "the build "+build+" is current", func() bool {
		_, err := handle.SetCurrentVersion(t.Context(), temporalclient.WorkerDeploymentSetCurrentVersionOptions{BuildID: build})
		var absent *serviceerror.NotFound
		var early *serviceerror.FailedPrecondition
		var late *serviceerror.DeadlineExceeded
		if err != nil && !errors.As(err, &absent) && !errors.As(err, &early) && !errors.As(err, &late) {
			t.Fatal(err)
		}
		return err == nil
	})
}

// wantBuild checks which build ran the last task of an export's workflow.
func (v *versions) wantBuild(t *testing.T, exportID, build string) {
	t.Helper()
	d, err := v.DescribeWorkflowExecution(t.Context(), "export-"+exportID, "")
	if err != nil {
		t.Fatal(err)
	}
	info := d.GetWorkflowExecutionInfo().GetVersioningInfo()
	if info.GetBehavior() != enumspb.VERSIONING_BEHAVIOR_AUTO_UPGRADE || info.GetDeploymentVersion().GetBuildId() != build {
		t.Errorf("the export %s has the versioning %v, want build %s and AutoUpgrade", exportID, info, build)
	}
}

// wantExpires makes a sleeping export expire, and checks that the given build runs the rest of the workflow
// and deletes the objects.
func (v *versions) wantExpires(t *testing.T, c *client, exportID, build string) {
	t.Helper()
	update, err := v.UpdateWorkflow(t.Context(), temporalclient.UpdateWorkflowOptions{
		WorkflowID: "export-" + exportID, UpdateName: "expire-now", WaitForStage: temporalclient.WorkflowUpdateStageCompleted})
	if err == nil {
		err = update.Get(t.Context(), nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	await.True(t, time.Minute, "the export is EXPIRED and its objects are gone", func() bool {
		return c.get(t, exportID).Status == "EXPIRED" && len(objects(t, filepath.Join(v.dir, "bucket"), exportID)) == 0
	})
	v.wantBuild(t, exportID, build)
}
