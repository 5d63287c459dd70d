package worker_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/client"
	sdkworker "go.temporal.io/sdk/worker"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"memexport/internal/service/export"
	"memexport/internal/workshop/await"
	"memexport/internal/workshop/process"
	"memexport/internal/workshop/temporaltest"
	"memexport/reconcile"
	"memexport/worker"
	"memexport/workflows"
)

// TestAWorkerStartsLateKeepsSchedulesAndHandsOver runs its subtests on one real Temporal server. The
// subtests run one after the other, because they use the same schedules in the same namespace.
func TestAWorkerStartsLateKeepsSchedulesAndHandsOver(t *testing.T) {
	server := temporaltest.Start(t)
	t.Run("WaitsForATemporalThatStartsLater", func(t *testing.T) { waitsForTemporal(t, server) })
	t.Run("NamesTheSearchAttributesThatItCannotAdd", func(t *testing.T) { namesMissingAttributes(t, server) })
	t.Run("CreatesAndUpdatesItsSchedules", func(t *testing.T) { keepsSchedules(t, server) })
	t.Run("TakesOverTheSchedulesOfAnotherTaskQueue", func(t *testing.T) { takesSchedulesOver(t, server) })
	t.Run("LeavesSchedulesToATaskQueueThatWorkersPoll", func(t *testing.T) { sharesSchedules(t, server) })
	t.Run("StopsAtOnceAndAnotherWorkerContinues", func(t *testing.T) { handsOver(t, server) })
	t.Run("AlwaysPollsForNewWorkflows", func(t *testing.T) { pollsForNewWorkflows(t, server) })
	t.Run("ForgetsSleepingExportsAndWakesThem", func(t *testing.T) { forgetsSleepingExports(t, server) })
	t.Run("ExpiresAnExportByTheClockOfPostgres", func(t *testing.T) { expiresByPostgres(t, server) })
	t.Run("NoticesACancelWithinSeconds", func(t *testing.T) { noticesCancel(t, server) })
	t.Run("GoesOnAfterAShortOutageOfTemporal", func(t *testing.T) { outlastsOutage(t, server) })
}

func waitsForTemporal(t *testing.T, server string) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	s := newSite(t, dial(t, address))
	s.exec(`INSERT INTO memories (id, memory, priority, status, workspace_id) VALUES (gen_random_uuid(), 'a fact', 'LOW', 'COMPLETED', $1)`, workspaceID)
	s.starter = workflows.NewStarter(dial(t, server), "default", t.Name()) // use a separate Starter, as an API in another process would
	tried := make(chan struct{}, 1)
	s.options.Log = telling(tried)
	var load atomic.Int64 // the greatest number that Load has received
	s.options.Load = func(l worker.Load) { load.Store(max(load.Load(), int64(l.Activities))) }
	running := s.run(s.options)
	select {
	case <-tried:
	case <-running.done:
		t.Fatal("the worker ended instead of waiting")
	case <-time.After(patience):
		t.Fatal("the worker did not try to connect")
	}
	forward(t, address, server)
	id := s.start()
	await.True(t, patience, "the export is READY", func() bool { return s.find(id).Status == export.Ready })
	await.True(t, patience, "its activities are counted", func() bool { return load.Load() > 0 })
}

func namesMissingAttributes(t *testing.T, server string) {
	refuse := func(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, o ...grpc.CallOption) error {
		if strings.HasSuffix(method, "SearchAttributes") {
			return status.Error(codes.PermissionDenied, "a refusal of the test")
		}
		return invoke(ctx, method, request, reply, conn, o...)
	}
	s := newSite(t, dial(t, server, grpc.WithChainUnaryInterceptor(refuse)))
	var lines process.Buffer
	s.options.Log = slog.New(slog.NewTextHandler(&lines, nil))
	s.run(s.options)
	await.True(t, patience, "the worker runs", func() bool { return strings.Contains(lines.String(), "worker started") })
	for _, want := range []string{"docs/temporal-ui.md", "ExportStatus (Keyword)", "a refusal of the test"} {
		if !strings.Contains(lines.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, lines.String())
		}
	}
}

func keepsSchedules(t *testing.T, server string) {
	c := dial(t, server)
	every := func(id string) time.Duration {
		description, err := c.ScheduleClient().GetHandle(t.Context(), id).Describe(t.Context())
		if err != nil || len(description.Schedule.Spec.Intervals) != 1 {
			return 0
		}
		if action, ok := description.Schedule.Action.(*client.ScheduleWorkflowAction); !ok || action.TaskQueue != t.Name() {
			return 0
		}
		return description.Schedule.Spec.Intervals[0].Every
	}
	s := newSite(t, c)
	for _, interval := range []time.Duration{time.Hour, 3 * time.Hour, 3 * time.Hour} {
		o := s.options
		o.ReconcileEvery, o.SweepEvery = interval, 2*interval
		worker := s.run(o)
		await.True(t, patience, "the schedules have the intervals of the worker", func() bool {
			return every("memexport-reconcile") == interval && every("memexport-sweep") == 2*interval
		})
		worker.stop(t)
	}
	// Check that a worker undoes what somebody has edited, although the intervals are right.
	o := s.options
	o.ReconcileEvery, o.SweepEvery = 3*time.Hour, 6*time.Hour
	for name, edit := range map[string]func(*client.ScheduleWorkflowAction){
		"workflow type": func(a *client.ScheduleWorkflowAction) { a.Workflow = "Nothing" },
		"input":         func(a *client.ScheduleWorkflowAction) { a.Args = []any{"an input"} },
	} {
		edited := func() bool {
			d, _ := s.schedule()
			action := d.Schedule.Action.(*client.ScheduleWorkflowAction)
			return action.Workflow != "Reconcile" || len(action.Args) > 0
		}
		s.editSchedule(edit)
		await.True(t, patience, "the "+name+" is edited", edited)
		worker := s.run(o)
		await.True(t, patience, "the "+name+" is as before", func() bool { return !edited() })
		worker.stop(t)
	}
	// Check that a running worker creates a deleted schedule again, and says that a schedule is paused.
	if err := c.ScheduleClient().GetHandle(t.Context(), "memexport-reconcile").Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	sweep := c.ScheduleClient().GetHandle(t.Context(), "memexport-sweep")
	if err := sweep.Pause(t.Context(), client.SchedulePauseOptions{Note: "during a test"}); err != nil {
		t.Fatal(err)
	}
	o = s.options
	o.ScheduleCheck = 50 * time.Millisecond
	var log process.Buffer
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	keeping := s.run(o)
	await.True(t, patience, "the worker creates the deleted schedule", func() bool { return every("memexport-reconcile") == time.Hour })
	if err := c.ScheduleClient().GetHandle(t.Context(), "memexport-reconcile").Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	await.True(t, patience, "the worker creates the schedule again while it runs", func() bool { return every("memexport-reconcile") == time.Hour })
	if description, err := sweep.Describe(t.Context()); err != nil || !description.Schedule.State.Paused || every("memexport-sweep") != 2*time.Hour {
		t.Errorf("the paused schedule has the interval %v: %v", every("memexport-sweep"), err)
	}
	keeping.stop(t)
	if n := strings.Count(log.String(), `a schedule is paused`); n != 1 || !strings.Contains(log.String(), "during a test") {
		t.Errorf("the worker has told %d times that the schedule is paused:\n%s", n, log.String())
	}
	if err := sweep.Unpause(t.Context(), client.ScheduleUnpauseOptions{}); err != nil {
		t.Fatal(err)
	}
	// Check that a worker can run the workflows that the schedules start.
	s.run(s.options)
	for id, kind := range map[string]string{"memexport-reconcile": "Reconcile", "memexport-sweep": "Sweep"} {
		handle := c.ScheduleClient().GetHandle(t.Context(), id)
		if err := handle.Trigger(t.Context(), client.ScheduleTriggerOptions{}); err != nil {
			t.Fatal(err)
		}
		var started client.ScheduleActionResult
		await.True(t, patience, "the schedule has started "+kind, func() bool {
			description, err := handle.Describe(t.Context())
			if err != nil || len(description.Info.RecentActions) == 0 {
				return false
			}
			started = description.Info.RecentActions[0]
			return true
		})
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := c.GetWorkflow(ctx, started.StartWorkflowResult.WorkflowID, "").Get(ctx, nil); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// schedule returns the description of the schedule memexport-reconcile, and the task queue of its action.
func (s *site) schedule() (d *client.ScheduleDescription, taskQueue string) {
	s.Helper()
	d, err := s.options.Client.ScheduleClient().GetHandle(s.Context(), "memexport-reconcile").Describe(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	return d, d.Schedule.Action.(*client.ScheduleWorkflowAction).TaskQueue
}

// stray lets the schedule memexport-reconcile start a run on its present task queue, where it stays open. It
// returns the run, and a function that waits until the run is terminated.
func (s *site) stray() (run client.ScheduleWorkflowExecution, wantTerminated func()) {
	s.Helper()
	c := s.options.Client
	await.True(s.T, patience, "no run is open", func() bool { d, _ := s.schedule(); return len(d.Info.RunningWorkflows) == 0 })
	if err := c.ScheduleClient().GetHandle(s.Context(), "memexport-reconcile").Trigger(s.Context(), client.ScheduleTriggerOptions{}); err != nil {
		s.Fatal(err)
	}
	var open []client.ScheduleWorkflowExecution
	await.True(s.T, patience, "a run is open", func() bool {
		d, _ := s.schedule()
		open = d.Info.RunningWorkflows
		return len(open) == 1
	})
	return open[0], func() {
		s.Helper()
		await.True(s.T, patience, "the run is terminated", func() bool {
			d, err := c.DescribeWorkflowExecution(s.Context(), open[0].WorkflowID, open[0].FirstExecutionRunID)
			return err == nil && d.GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED
		})
	}
}

func takesSchedulesOver(t *testing.T, server string) {
	s := newSite(t, dial(t, server))
	old := s.options
	old.TaskQueue = t.Name() + "/old"
	stopped := s.run(old)
	await.True(t, patience, "the schedule has the old task queue", func() bool { _, queue := s.schedule(); return queue == old.TaskQueue })
	stopped.stop(t)
	_, wantTerminated := s.stray()
	before, _ := s.schedule()
	s.options.ReconcileEvery = time.Second
	s.run(s.options)
	wantTerminated()
	await.True(t, patience, "the schedule starts runs on the new task queue, and they end", func() bool {
		d, queue := s.schedule()
		return queue == s.options.TaskQueue && d.Info.NumActions >= before.Info.NumActions+2
	})
	if d, _ := s.schedule(); d.Schedule.Action.(*client.ScheduleWorkflowAction).WorkflowRunTimeout != reconcile.RunTimeout {
		t.Error("an existing schedule does not get the timeout of a run")
	}
}

func sharesSchedules(t *testing.T, server string) {
	var away atomic.Bool // whether requests about schedules fail for the workers
	workers := dial(t, server, grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, in, out any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, o ...grpc.CallOption) error {
		if away.Load() && strings.HasSuffix(method, "/DescribeSchedule") {
			return status.Error(codes.PermissionDenied, "away")
		}
		return invoke(ctx, method, in, out, conn, o...)
	}))
	s := newSite(t, dial(t, server))
	other, nobody := t.Name()+"/other", t.Name()+"/nobody"
	poller := sdkworker.New(s.options.Client, other, sdkworker.Options{}) // knows no workflow, so runs stay open
	if err := poller.Start(); err != nil {
		t.Fatal(err)
	}
	defer poller.Stop()
	await.True(t, patience, "the other task queue is polled", func() bool {
		d, err := s.options.Client.DescribeTaskQueue(t.Context(), other, enumspb.TASK_QUEUE_TYPE_WORKFLOW)
		return err == nil && len(d.GetPollers()) > 0
	})
	var log process.Buffer
	s.options.Client, s.options.ScheduleCheck, s.options.Log = workers, 50*time.Millisecond, slog.New(slog.NewTextHandler(&log, nil))
	s.run(s.options)
	s.options.Client = dial(t, server)
	await.True(t, patience, "the worker has started", func() bool { return strings.Contains(log.String(), "worker started") })

	away.Store(true)
	s.moveSchedule(other)
	run, _ := s.stray()
	away.Store(false)
	await.True(t, patience, "the worker says that it shares the schedule", func() bool { return strings.Contains(log.String(), "a Temporal namespace of its own") })
	time.Sleep(10 * s.options.ScheduleCheck)
	if d, queue := s.schedule(); queue != other || !slices.Contains(d.Info.RunningWorkflows, run) {
		t.Errorf("the schedule has the task queue %s and the open runs %v", queue, d.Info.RunningWorkflows)
	}
	if n := strings.Count(log.String(), "a Temporal namespace of its own"); n != 1 {
		t.Errorf("the worker has told %d times that it shares the schedule:\n%s", n, log.String())
	}
	if err := s.options.Client.TerminateWorkflow(t.Context(), run.WorkflowID, run.FirstExecutionRunID, "the test goes on"); err != nil {
		t.Fatal(err)
	}

	away.Store(true)
	s.moveSchedule(nobody)
	_, wantTerminated := s.stray()
	away.Store(false)
	wantTerminated()
	if _, queue := s.schedule(); queue != s.options.TaskQueue {
		t.Errorf("the schedule has the task queue %s, which no worker polls", queue)
	}
}

// moveSchedule gives the schedule memexport-reconcile another task queue.
func (s *site) moveSchedule(taskQueue string) {
	s.Helper()
	s.editSchedule(func(a *client.ScheduleWorkflowAction) { a.TaskQueue = taskQueue })
	await.True(s.T, patience, "the schedule has the task queue", func() bool { _, queue := s.schedule(); return queue == taskQueue })
}

// editSchedule changes what the schedule memexport-reconcile starts, as the button Edit does.
func (s *site) editSchedule(edit func(*client.ScheduleWorkflowAction)) {
	s.Helper()
	handle := s.options.Client.ScheduleClient().GetHandle(s.Context(), "memexport-reconcile")
	err := handle.Update(s.Context(), client.ScheduleUpdateOptions{DoUpdate: func(in client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
		edit(in.Description.Schedule.Action.(*client.ScheduleWorkflowAction))
		return &client.ScheduleUpdate{Schedule: &in.Description.Schedule}, nil
	}})
	if err != nil {
		s.Fatal(err)
	}
}

// writing starts an export of about 18 MiB. When the worker records the second part, it blocks until
// release is called.
func (s *site) writing() (id string, release func()) {
	s.Helper()
	for i := range 20 {
		s.exec(`INSERT INTO memories (id, memory, priority, status, workspace_id, created_at) VALUES (gen_random_uuid(), $1, 'LOW', 'COMPLETED', $2, $3)`,
			strings.Repeat("fact ", 180_000), workspaceID, time.Date(2026, 1, 1, 0, 0, i, 0, time.UTC))
	}
	const gate = 4711
	s.exec(fmt.Sprintf(`CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			PERFORM pg_advisory_xact_lock(%d); RETURN NEW;
		END $$;
		CREATE TRIGGER hold BEFORE INSERT ON memexport.export_parts FOR EACH ROW WHEN (NEW.part = 1) EXECUTE FUNCTION hold()`, gate))
	conn, err := s.db.Conn(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	if _, err := conn.ExecContext(s.Context(), `SELECT pg_advisory_lock($1)`, gate); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { conn.Close() })
	id = s.start()
	return id, func() {
		s.Helper()
		if _, err := conn.ExecContext(s.Context(), `SELECT pg_advisory_unlock_all()`); err != nil {
			s.Error(err)
		}
	}
}

// pending returns the only activity that is running for an export, or nil.
func (s *site) pending(id string) *workflowpb.PendingActivityInfo {
	description, err := s.options.Client.DescribeWorkflowExecution(s.Context(), export.WorkflowID(id), "")
	if err != nil || len(description.GetPendingActivities()) != 1 {
		return nil
	}
	return description.GetPendingActivities()[0]
}

// firstPart returns the key of the object that contains the first recorded part, or an empty string if no
// part is recorded.
func (s *site) firstPart(id string) string {
	parts, err := s.exports.Parts(s.Context(), id)
	if err != nil || len(parts) == 0 {
		return ""
	}
	return parts[0].Object
}

func handsOver(t *testing.T, server string) {
	s := newSite(t, dial(t, server))
	first := s.run(s.options)
	id, release := s.writing()
	await.True(t, patience, "the first part is recorded", func() bool { return s.firstPart(id) != "" })
	object := s.firstPart(id)
	var handedOver string                                          // the id of an activity
	await.True(t, patience, "WriteRange is running", func() bool { // Plan writes the first part, because the export has few memories
		activity := s.pending(id)
		handedOver = activity.GetActivityId()
		return activity.GetActivityType().GetName() == "WriteRange" && activity.GetLastStartedTime() != nil
	})
	s.run(s.options)
	begin := time.Now()
	first.stop(t)
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("the worker took %v to stop", took)
	}
	await.True(t, patience, "the other worker has started WriteRange again", func() bool {
		activity := s.pending(id)
		return activity.GetActivityType().GetName() == "WriteRange" && activity.GetActivityId() != handedOver && activity.GetLastStartedTime() != nil
	})
	if took := time.Since(begin); took > 15*time.Second {
		t.Errorf("the other worker continued after %v", took)
	}
	release()
	await.True(t, patience, "the export is READY", func() bool { return s.find(id).Status == export.Ready })
	if e := s.find(id); e.MemoryCount != 20 {
		t.Errorf("the export has %d memories", e.MemoryCount)
	}
	if s.firstPart(id) != object {
		t.Error("the first part was written again")
	}
}

func noticesCancel(t *testing.T, server string) {
	s := newSite(t, dial(t, server))
	s.run(s.options)
	id, _ := s.writing()
	await.True(t, patience, "the first part is recorded", func() bool { return s.firstPart(id) != "" })
	// A cancellation comes with the answer to a heartbeat.
	var first, second time.Time
	await.True(t, patience, "Temporal has received two heartbeats", func() bool {
		if at := s.pending(id).GetLastHeartbeatTime(); at != nil {
			second = at.AsTime()
		}
		if first.IsZero() {
			first = second
		}
		return second.After(first)
	})
	if pause := second.Sub(first); pause > 20*time.Second { // the SDK's default is 24 seconds
		t.Errorf("the pause between two heartbeats is %v", pause)
	}
	if err := s.starter.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	await.True(t, patience, "the export is purged", func() bool { return s.find(id).PurgedAt != nil })
	if e := s.find(id); e.Status != export.Failed || e.Failure.Code != export.CodeCancelled {
		t.Errorf("the export is %+v with %+v", e, e.Failure)
	}
}

// outlastsOutage lets heartbeats fail for 5 s, as while a server restarts. The SDK ends an attempt if it cannot send a
// heartbeat for half of MaxHeartbeatThrottleInterval.
func outlastsOutage(t *testing.T, server string) {
	const outage = 5 * time.Second
	var begun time.Time // when the first heartbeat was tried; the SDK sends one heartbeat after the other
	// The SDK's interceptor that retries comes before the interceptors of this option.
	s := newSite(t, dial(t, server, grpc.WithChainUnaryInterceptor(
		func(ctx context.Context, method string, request, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, o ...grpc.CallOption) error {
			if strings.HasSuffix(method, "/RecordActivityTaskHeartbeat") {
				if begun.IsZero() {
					begun = time.Now()
				}
				if time.Since(begun) < outage {
					return status.Error(codes.Unavailable, "a test")
				}
			}
			return invoke(ctx, method, request, reply, cc, o...)
		})))
	s.run(s.options)
	id, release := s.writing()
	var running *workflowpb.PendingActivityInfo
	await.True(t, patience, "Temporal has received a heartbeat", func() bool {
		running = s.pending(id)
		return running.GetLastHeartbeatTime() != nil
	})
	if running.GetAttempt() != 1 {
		t.Errorf("the outage ended an attempt: this is number %d, after %v", running.GetAttempt(), running.GetLastFailure())
	}
	release()
	await.True(t, patience, "the export is READY", func() bool { return s.find(id).Status == export.Ready })
}
