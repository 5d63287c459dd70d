package worker

import (
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"go.temporal.io/sdk/worker"

	"memexport/activities"
	"memexport/reconcile"
)

// names is a registry that notes the names under which workflows and activities are registered.
type names struct {
	worker.Registry
	workflows, activities []string
}

// RegisterWorkflow notes the name of a function without its package.
func (n *names) RegisterWorkflow(function any) {
	name := runtime.FuncForPC(reflect.ValueOf(function).Pointer()).Name()
	n.workflows = append(n.workflows, name[strings.LastIndex(name, ".")+1:])
}

// RegisterActivity notes the names of the exported methods.
func (n *names) RegisterActivity(receiver any) {
	for method := range reflect.TypeOf(receiver).Methods() {
		n.activities = append(n.activities, method.Name)
	}
}

// The names must not change, because the histories and schedules of running services contain them.
func TestTheRegisteredNamesStay(t *testing.T) {
	var got names
	o := Options{Activities: &activities.Activities{}, Reconciler: &reconcile.Activities{}}
	o.register(&got)
	slices.Sort(got.workflows)
	slices.Sort(got.activities)
	if want := []string{"Export", "Reconcile", "Sweep"}; !slices.Equal(got.workflows, want) {
		t.Errorf("the workflows are %q, want %q", got.workflows, want)
	}
	want := []string{"Compose", "Expire", "Fail", "Plan", "Publish", "Purge", "Reconcile", "Sweep", "Verify", "WriteRange"}
	if !slices.Equal(got.activities, want) {
		t.Errorf("the activities are %q, want %q", got.activities, want)
	}
}
