package workflows_test

import (
	"os"
	"regexp"
	"strconv"
	"testing"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
)

// costPage is the page that tells operators how many Actions an export costs. The rows of its table name
// recorded histories.
const costPage = "../docs/cost.md"

// actions returns how many Actions Temporal Cloud bills for a history, by the rules of
// https://docs.temporal.io/cloud/actions. Heartbeats are not in a history, so they are not counted.
func actions(history *historypb.History) int {
	n := 0
	marked := map[int64]bool{} // the workflow tasks that have recorded markers
	for _, event := range history.GetEvents() {
		switch event.GetEventType() {
		case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED, // the search attributes that are given at the start are free
			enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED,
			enumspb.EVENT_TYPE_TIMER_STARTED,
			enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED,
			enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED,
			enumspb.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED:
			n++
		case enumspb.EVENT_TYPE_ACTIVITY_TASK_STARTED: // only the last attempt has this event; its number tells how many retries there were
			n += int(event.GetActivityTaskStartedEventAttributes().GetAttempt()) - 1
		case enumspb.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES:
			if _, free := event.GetUpsertWorkflowSearchAttributesEventAttributes().GetSearchAttributes().GetIndexedFields()["TemporalChangeVersion"]; !free {
				n++
			}
		case enumspb.EVENT_TYPE_MARKER_RECORDED: // all markers of a workflow task count as one Action; GetVersion records a marker
			if task := event.GetMarkerRecordedEventAttributes().GetWorkflowTaskCompletedEventId(); !marked[task] {
				marked[task] = true
				n++
			}
		case enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED:
			if event.GetWorkflowTaskFailedEventAttributes().GetCause() == enumspb.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW {
				n++
			}
		}
	}
	return n
}

func TestTheCostPageSaysHowManyActionsAnExportCosts(t *testing.T) {
	page, err := os.ReadFile(costPage)
	if err != nil {
		t.Fatal(err)
	}
	paths := files(t)
	told := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\|.*\\| (\\d+) \\| `([a-z-]+)` \\|$").FindAllStringSubmatch(string(page), -1) {
		name := row[2]
		told[name] = true
		if paths[name] == "" {
			t.Errorf("%s names the history %s, which does not exist", costPage, name)
			continue
		}
		if want := actions(read(t, paths[name])); row[1] != strconv.Itoa(want) {
			t.Errorf("%s says that %s costs %s Actions, but it costs %d", costPage, name, row[1], want)
		}
	}
	for _, name := range []string{"small", "small-retried", "small-cancelled", "three-ranges"} { // the histories that the present code has recorded
		if !told[name] {
			t.Errorf("%s does not say that %s costs %d Actions", costPage, name, actions(read(t, paths[name])))
		}
	}
}
