package activities_test

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"testing"

	"go.temporal.io/sdk/temporal"

	"memexport/activities"
	"memexport/internal/service/archive"
	"memexport/internal/service/attempt"
	"memexport/internal/service/export"
	"memexport/internal/service/format"
)

// planSmall runs an attempt of Plan that may publish the export.
func (h *harness) planSmall(id string, options ...environment) (activities.PlanResult, error) {
	return do[activities.PlanResult](h, h.Plan, activities.PlanInput{ExportID: id, PublishSmall: true}, options...)
}

// wantPublishedSmall runs an attempt of Plan that must publish the export, and checks the result and the
// file.
func (h *harness) wantPublishedSmall(id string, f *format.Format, memories int64) activities.PlanResult {
	h.Helper()
	plan, err := h.planSmall(id)
	if err != nil {
		h.Fatal(err)
	}
	if plan.Published == nil {
		h.Fatalf("the plan is %+v", plan)
	}
	h.wantStatus(id, export.Ready)
	h.wantFile(id, f)
	e := h.find(id)
	if p := plan.Published; p.Memories != memories || p.Written.Memories != memories || p.Bytes != *e.SizeBytes || !p.ExpiresAt.Equal(*e.ExpiresAt) {
		h.Errorf("the result is %+v, and the row is %+v", p, e)
	}
	return plan
}

func TestPlanPublishesASmallExport(t *testing.T) {
	h := newHarness(t)
	var id string
	seen := h.endings(&id)
	for _, memories := range []int64{0, 100} {
		h.fill(int(memories))
		for _, f := range format.All {
			id = h.create(f)
			first := h.wantPublishedSmall(id, f, memories)
			again, err := h.planSmall(id) // as after a crash before Temporal got the result
			if s := again.Settled; err != nil || s.Status != export.Ready || s.Memories != memories || !s.ExpiresAt.Equal(first.Published.ExpiresAt) {
				t.Errorf("%s: a second attempt returned %+v after %+v: %v", f.Name, again, first.Published, err)
			}
			if want := []export.Status{export.Ready, export.Ready}; !reflect.DeepEqual(*seen, want) {
				t.Errorf("%s: Ended was called with the statuses %v", f.Name, *seen)
			}
			*seen = nil
		}
	}
}

func TestPlanLeavesALargeExportToTheOtherActivities(t *testing.T) {
	h := newHarness(t)
	h.fill(12_000)
	h.exec(`ANALYZE memories`)
	id := h.create(format.JSON)
	plan, err := h.planSmall(id)
	if err != nil || plan.Published != nil || len(plan.Ranges) != 1 || len(h.parts(id)) != 0 {
		t.Errorf("the plan is %+v with the parts %+v: %v", plan, h.parts(id), err)
	}
	must[activities.PublishResult](h, h.Publish, h.written(id, plan))
}

func TestAnExportOfUpToElevenThousandMemoriesIsSmall(t *testing.T) {
	h := newHarness(t)
	h.fill(10)
	for estimate, small := range map[int64]bool{11_000: true, 11_001: false} {
		id := h.create(format.JSON)
		ranges := h.split(1)
		ranges[0].Estimate = estimate
		if _, err := h.Exports.Start(t.Context(), id, ranges); err != nil {
			t.Fatal(err)
		}
		if plan, err := h.planSmall(id); err != nil || (plan.Published != nil) != small {
			t.Errorf("with an estimate of %d, the plan is %+v: %v", estimate, plan, err)
		}
	}
}

func TestPlanLeavesAnExportThatMustBeComposedToTheOtherActivities(t *testing.T) {
	h := newHarness(t)
	h.fill(10)
	h.open("file://"+h.dir, archive.Options{Compose: true})
	id := h.create(format.JSON)
	if plan, err := h.planSmall(id); err != nil || plan.Published != nil || len(h.parts(id)) != 0 {
		t.Errorf("the plan is %+v with the parts %+v: %v", plan, h.parts(id), err)
	}
}

// In this test, as after a bulk import that Postgres has not analyzed yet, the estimate is much too low.
func TestPlanWritesOnlyTheFirstPartOfAnExportThatIsLargerThanEstimated(t *testing.T) {
	all := newHarness(t)
	all.PartSize = 8 << 10
	all.fill(400)
	for _, f := range format.All {
		t.Run(f.Name, func(t *testing.T) {
			h := all.in(t)
			id := h.create(f)
			for range 2 { // a second attempt does not write more
				plan, err := h.planSmall(id)
				if err != nil || plan.Published != nil || len(plan.Ranges) != 1 {
					t.Fatalf("the plan is %+v: %v", plan, err)
				}
				h.wantStatus(id, export.Processing)
				if parts := h.parts(id); len(parts) != 1 {
					t.Fatalf("%d parts are recorded", len(parts))
				}
			}
			plan, err := h.planSmall(id)
			if err != nil {
				t.Fatal(err)
			}
			h.finish(activities.WriteRangeInput{ExportID: id, Range: plan.Ranges[0].Range}, f, 400)
		})
	}
}

func TestASmallExportIsPublishedByARetry(t *testing.T) {
	h := newHarness(t)
	h.fill(100)
	failOnPublish := func() (repair func()) {
		h.exec(`CREATE FUNCTION outage() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
				RAISE EXCEPTION 'out of order' USING ERRCODE = 'connection_failure';
			END $$;
			CREATE TRIGGER outage BEFORE UPDATE ON memexport.exports FOR EACH ROW WHEN (NEW.status = 'READY') EXECUTE FUNCTION outage()`)
		return func() { h.exec(`DROP TRIGGER outage ON memexport.exports; DROP FUNCTION outage`) }
	}
	for _, f := range format.All {
		for name, outage := range map[string]struct {
			fail  func() (repair func())
			parts int
		}{
			"before the part is recorded": {func() func() { return h.failOnPart("NEW.part = 0") }, 0},
			"before it is published":      {failOnPublish, 1},
		} {
			t.Run(f.Name+" "+name, func(t *testing.T) {
				h := h.in(t)
				id := h.create(f)
				repair := outage.fail()
				_, err := h.planSmall(id)
				repair()
				wantRetryable(t, err, attempt.TypeDatabaseUnavailable)
				h.wantStatus(id, export.Processing)
				if parts := h.parts(id); len(parts) < outage.parts {
					t.Errorf("%d parts are recorded", len(parts))
				}
				h.wantPublishedSmall(id, f, 100)
			})
		}
	}
}

func TestASmallExportIsHandedOverWhenItsWorkerStopsAndEndsWhenItIsCancelled(t *testing.T) {
	h := newHarness(t)
	h.fill(100)
	stop := make(chan struct{})
	ctx, cancel := context.WithCancelCause(t.Context())
	for name, c := range map[string]struct {
		environment environment
		end         func()
		want        func(*testing.T, error)
	}{
		"stopped": {stoppedBy(stop), func() { close(stop) }, wantHandOver},
		"cancelled": {within(ctx), func() { cancel(temporal.NewCanceledError()) }, func(t *testing.T, err error) {
			if !temporal.IsCanceledError(err) {
				t.Errorf("it ended with %v", err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			h := h.in(t)
			id := h.create(format.JSON)
			release := h.holdPart(0)
			result := make(chan error, 1)
			go func() {
				_, err := h.planSmall(id, c.environment)
				result <- err
			}()
			h.waiting(1)
			c.end()
			c.want(t, <-result)
			release()
			h.exec(`DROP TRIGGER hold ON memexport.export_parts; DROP FUNCTION hold`)
			h.wantPublishedSmall(id, format.JSON, 100)
		})
	}
}

func TestAStoreThatFailsASmallExportIsClassifiedAsInWriteRange(t *testing.T) {
	h := newHarness(t)
	h.fill(20)
	id := h.create(format.JSON)
	objects := h.dir + "/exports"
	if err := os.WriteFile(objects, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := h.planSmall(id)
	wantRetryable(t, err, attempt.TypeStorageUnavailable)
	if err := os.Remove(objects); err != nil {
		t.Fatal(err)
	}
	h.wantPublishedSmall(id, format.JSON, 20)
}

func TestOneOfTwoConcurrentAttemptsPublishesASmallExport(t *testing.T) {
	h := newHarness(t)
	h.fill(100)
	id := h.create(format.JSON)
	lost := h.twoAttempts(0, func() error {
		plan, err := h.planSmall(id)
		if err == nil && plan.Published == nil {
			err = fmt.Errorf("the plan is %+v", plan)
		}
		return err
	})
	if len(lost) > 1 {
		t.Fatalf("both attempts failed: %v", lost)
	}
	for _, err := range lost { // retryable: Temporal may be waiting for this attempt, and not for the one that won
		wantRetryable(t, err, attempt.TypeOvertaken)
	}
	h.wantStatus(id, export.Ready)
	h.wantFile(id, format.JSON)
}
