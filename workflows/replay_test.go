package workflows_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/temporalproto"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"memexport/workflows"
)

// Without -update, this test records histories, replays them and discards them. So it shows that
// histories can still be recorded.
func TestRecordHistories(t *testing.T) {
	for name, record := range recordings {
		t.Run(name, func(t *testing.T) {
			l := record(t)
			history := l.history()
			// Encode the history first, because the replay changes the search attributes in its first event.
			data, err := temporalproto.CustomJSONMarshalOptions{Indent: "  "}.Marshal(history)
			if err != nil {
				t.Fatal(err)
			}
			if err := replay(workflows.Export, history); err != nil {
				t.Error(err)
			}
			if !*update {
				return
			}
			if err := os.WriteFile(filepath.Join(histories, name+".json"), append(data, '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// replay replays a history with this code.
func replay(code func(workflow.Context, workflows.ExportInput) error, history *historypb.History, interceptors ...interceptor.WorkerInterceptor) error {
	replayer, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{Interceptors: interceptors})
	if err != nil {
		return err
	}
	replayer.RegisterWorkflowWithOptions(code, workflow.RegisterOptions{Name: "Export"})
	var options worker.ReplayWorkflowHistoryOptions
	for _, event := range history.GetEvents() {
		if event.GetWorkflowTaskFailedEventAttributes().GetCause() == enumspb.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW {
			// A history does not contain the id of its own run. By default, the replayer uses the id of the run
			// that was reset, and then the code does not see that there was a reset.
			options.OriginalExecution.RunID = "the run that the reset made"
		}
	}
	return replayer.ReplayWorkflowHistoryWithOptions(silent, history, options)
}

// read reads a recorded history.
func read(t *testing.T, path string) *historypb.History {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	history, err := client.HistoryFromJSON(file, client.HistoryJSONOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return history
}

// files returns the paths of the recorded histories by name.
func files(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(histories, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, path := range paths {
		found[strings.TrimSuffix(filepath.Base(path), ".json")] = path
	}
	for name := range recordings {
		if _, ok := found[name]; !ok && !*update {
			t.Errorf("there is no recorded history %s: record it with -update", name)
		}
	}
	return found
}

func TestTheCodeReplaysEveryRecordedHistory(t *testing.T) {
	for name, path := range files(t) {
		t.Run(name, func(t *testing.T) {
			if err := replay(workflows.Export, read(t, path)); err != nil {
				t.Error(err)
			}
		})
	}
}

// This test shows that a replay finds a difference between the code and the history.
func TestOtherCodeDoesNotReplayARecordedHistory(t *testing.T) {
	changed := func(ctx workflow.Context, in workflows.ExportInput) error {
		if err := workflow.Sleep(ctx, time.Minute); err != nil {
			return err
		}
		return workflows.Export(ctx, in)
	}
	for name, path := range files(t) {
		if name == "cancelled-before-start" {
			continue // this history ends with a cancellation before changed adds its timer, so a replay cannot notice the difference
		}
		if replay(changed, read(t, path)) == nil {
			t.Errorf("%s replays with other code", name)
		}
	}
}

func TestRecordedHistoriesDoNotNameTheMachine(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	address := regexp.MustCompile(`[0-9]+@|/(home|root|work|tmp|Users|go)/|\.go:|127\.0\.0\.1`)
	for name, path := range files(t) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if found := address.Find(text); found != nil || strings.Contains(string(text), host) {
			t.Errorf("%s says %q, or the name of this machine", name, found)
		}
		for _, payload := range payloads(t, path) {
			if found := address.Find(payload); found != nil || strings.Contains(string(payload), host) {
				t.Errorf("%s has the payload %s", name, payload)
			}
		}
		for _, match := range regexp.MustCompile(`"identity":\s*"([^"]*)"`).FindAllSubmatch(text, -1) {
			if !slices.Contains([]string{"memexport", "", "history-service"}, string(match[1])) {
				t.Errorf("%s names %s", name, match[1])
			}
		}
	}
}

// payloads returns the payloads of a history, decoded from the base64 in its JSON file.
func payloads(t *testing.T, path string) [][]byte {
	t.Helper()
	var all [][]byte
	add := func(p *commonpb.Payloads) {
		for _, payload := range p.GetPayloads() {
			all = append(all, payload.GetData())
		}
	}
	for _, event := range read(t, path).GetEvents() {
		add(event.GetWorkflowExecutionStartedEventAttributes().GetInput())
		add(event.GetActivityTaskScheduledEventAttributes().GetInput())
		add(event.GetActivityTaskCompletedEventAttributes().GetResult())
	}
	return all
}
