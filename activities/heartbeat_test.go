package activities_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/testsuite"

	"memexport/activities"
	"memexport/internal/service/attempt"
	"memexport/internal/service/format"
)

// Without heartbeats, Temporal would start another attempt every 30 seconds while the first one waits for Postgres.
func TestEveryActivitySendsHeartbeatsWhileItWaits(t *testing.T) {
	h := newHarness(t)
	id := h.create(format.JSON)
	silent := map[string]struct{ activity, input any }{
		"Plan":       {h.Plan, activities.PlanInput{ExportID: id}},
		"WriteRange": {h.WriteRange, activities.WriteRangeInput{ExportID: id}},
		"Verify":     {h.Verify, activities.VerifyInput{ExportID: id}},
		"Compose":    {h.Compose, h.ref(id)},
		"Publish":    {h.Publish, activities.PublishInput{ExportID: id}},
		"Fail":       {h.Fail, activities.FailInput{ExportID: id}},
		"Expire":     {h.Expire, activities.ExpireInput{ExportID: id}},
		"Purge":      {h.Purge, h.ref(id)},
	}
	lock := h.db.MustBegin()
	defer lock.Rollback() //nolint:errcheck // does nothing after the rollback below
	lock.MustExec(`LOCK TABLE memexport.exports`)
	heard, ended := make(chan string, len(silent)), make(chan string, len(silent))
	for name, run := range silent {
		go func() {
			_, err := do[any](h, run.activity, run.input, func(env *testsuite.TestActivityEnvironment) {
				env.SetOnActivityHeartbeatListener(func(*activity.Info, converter.EncodedValues) { heard <- name })
			})
			ended <- fmt.Sprintf("%s: %v", name, err)
		}()
	}
	attempts := len(silent)
	for limit := time.After(attempt.HeartbeatEvery + patience); len(silent) > 0; {
		select {
		case name := <-heard:
			delete(silent, name)
		case outcome := <-ended:
			t.Fatal("an activity did not wait for Postgres: ", outcome)
		case <-limit:
			t.Fatalf("these activities have sent no heartbeat: %v", slices.Collect(maps.Keys(silent)))
		}
	}
	if err := lock.Rollback(); err != nil {
		t.Fatal(err)
	}
	for range attempts {
		<-ended
	}
}
