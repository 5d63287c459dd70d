package activities_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"memexport/activities"
	"memexport/internal/service/attempt"
	"memexport/internal/service/export"
	"memexport/internal/service/format"
	"memexport/internal/workshop/await"
)

// failOnPart makes the recording of every part that meets the SQL condition fail, as in an outage at that
// moment. repair ends the outage.
func (h *harness) failOnPart(condition string) (repair func()) {
	h.Helper()
	h.exec(`CREATE FUNCTION outage() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			RAISE EXCEPTION 'out of order' USING ERRCODE = 'connection_failure';
		END $$;
		CREATE TRIGGER outage BEFORE INSERT ON memexport.export_parts FOR EACH ROW WHEN (` + condition + `) EXECUTE FUNCTION outage()`)
	return func() {
		h.Helper()
		h.exec(`DROP TRIGGER outage ON memexport.export_parts; DROP FUNCTION outage`)
	}
}

const gate = 4711

// holdPart makes every attempt that records the part with this number wait until release is called.
func (h *harness) holdPart(number int) (release func()) {
	h.Helper()
	h.exec(fmt.Sprintf(`CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			PERFORM pg_advisory_xact_lock(%d); RETURN NEW;
		END $$;
		CREATE TRIGGER hold BEFORE INSERT ON memexport.export_parts FOR EACH ROW WHEN (NEW.part = %d) EXECUTE FUNCTION hold()`, gate, number))
	conn, err := h.db.Conn(h.Context())
	if err != nil {
		h.Fatal(err)
	}
	if _, err := conn.ExecContext(h.Context(), `SELECT pg_advisory_lock($1)`, gate); err != nil {
		h.Fatal(err)
	}
	// Unlock explicitly: Close only returns the connection to the pool, where the connection would keep
	// the lock.
	release = sync.OnceFunc(func() {
		if _, err := conn.ExecContext(context.Background(), `SELECT pg_advisory_unlock_all()`); err != nil {
			h.Error(err)
		}
		conn.Close()
	})
	h.Cleanup(release)
	return release
}

// waiting waits until n attempts are blocked by holdPart.
func (h *harness) waiting(n int) {
	h.Helper()
	await.True(h.T, patience, fmt.Sprintf("%d attempts are recording the part", n), func() bool {
		var found int
		err := h.db.Get(&found, `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = $1 AND NOT granted
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`, gate)
		return err == nil && found == n
	})
}

func TestARetryContinuesAfterTheLastRecordedPart(t *testing.T) {
	all := newHarness(t)
	all.PartSize = 8 << 10
	all.fill(400)
	for _, f := range format.All {
		for _, k := range []int{0, 1, 3} {
			t.Run(fmt.Sprintf("%s after %d parts", f.Name, k), func(t *testing.T) {
				h := all.in(t)
				in := h.oneRange(f)
				repair := h.failOnPart(fmt.Sprintf("NEW.part = %d", k))
				_, err := do[export.Written](h, h.WriteRange, in)
				wantRetryable(t, err, attempt.TypeDatabaseUnavailable)
				if parts := h.parts(in.ExportID); len(parts) != k {
					t.Fatalf("%d parts are recorded", len(parts))
				}
				repair()
				h.finish(in, f, 400)
			})
		}
	}
}

// losePart makes Postgres lose the part with this number as soon as it is committed, as in an asynchronous fail-over.
// repair ends that.
func (h *harness) losePart(number int) (repair func()) {
	h.Helper()
	h.exec(fmt.Sprintf(`CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			DELETE FROM memexport.export_parts WHERE export_id = NEW.export_id AND range = NEW.range AND part = NEW.part; RETURN NULL;
		END $$;
		CREATE TRIGGER lose AFTER INSERT ON memexport.export_parts FOR EACH ROW WHEN (NEW.part = %d) EXECUTE FUNCTION lose()`, number))
	return func() {
		h.Helper()
		h.exec(`DROP TRIGGER lose ON memexport.export_parts; DROP FUNCTION lose`)
	}
}

func TestAPartThatPostgresHasLostIsWrittenAgain(t *testing.T) {
	all := newHarness(t)
	all.PartSize = 8 << 10
	all.fill(400)
	whole := len(all.parts(all.published(format.JSON)))
	for name, lost := range map[string]int{"the first": 0, "one of the first": 1, "the last": whole - 1} {
		t.Run(name, func(t *testing.T) {
			h := all.in(t)
			in := h.oneRange(format.JSON)
			repair := h.losePart(lost)
			_, err := do[export.Written](h, h.WriteRange, in)
			wantRetryable(t, err, attempt.TypeOvertaken)
			if parts := h.parts(in.ExportID); len(parts) != lost {
				t.Errorf("%d parts are recorded, want those before part %d", len(parts), lost)
			}
			repair()
			h.finish(in, format.JSON, 400)
		})
	}
}

// Workers of earlier versions could go on after a part was lost, and so leave a gap.
func TestARangeWithAGapIsNotContinued(t *testing.T) {
	h := newHarness(t)
	h.PartSize = 8 << 10
	h.fill(400)
	in := h.oneRange(format.JSON)
	h.failOnPart("NEW.part = 4")
	_, err := do[export.Written](h, h.WriteRange, in)
	wantRetryable(t, err, attempt.TypeDatabaseUnavailable)
	h.exec(`DELETE FROM memexport.export_parts WHERE part = 1`)
	_, err = do[export.Written](h, h.WriteRange, in)
	wantFinal(t, err, attempt.TypeCountMismatch)
}

// finish runs an attempt of WriteRange that must succeed, publishes the export, and checks its file.
func (h *harness) finish(in activities.WriteRangeInput, f *format.Format, memories int64) {
	h.Helper()
	written := must[export.Written](h, h.WriteRange, in)
	if written.Memories != memories {
		h.Errorf("%d memories were written", written.Memories)
	}
	must[activities.PublishResult](h, h.Publish, activities.PublishInput{ExportID: in.ExportID, Ranges: 1, Written: written})
	h.wantFile(in.ExportID, f)
}

func TestAnUnavailableStoreIsRetried(t *testing.T) {
	h := newHarness(t)
	h.PartSize = 8 << 10
	h.fill(400)
	in := h.oneRange(format.JSON)
	repair := h.failOnPart("NEW.part = 2")
	_, err := do[export.Written](h, h.WriteRange, in)
	wantRetryable(t, err, attempt.TypeDatabaseUnavailable)
	repair()
	objects := filepath.Join(h.dir, "exports", in.ExportID)
	if err := os.Rename(objects, objects+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(objects, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = do[export.Written](h, h.WriteRange, in)
	wantRetryable(t, err, attempt.TypeStorageUnavailable)
	if err := errors.Join(os.Remove(objects), os.Rename(objects+".away", objects)); err != nil {
		t.Fatal(err)
	}
	h.finish(in, format.JSON, 400)
}

func TestACancelledAttemptEndsAsCancelledAndLeavesWhatItRecorded(t *testing.T) {
	h := newHarness(t)
	h.PartSize = 8 << 10
	h.fill(400)
	in := h.oneRange(format.JSON)
	release := h.holdPart(2)
	ctx, cancel := context.WithCancelCause(t.Context())
	result := make(chan error, 1)
	go func() {
		_, err := do[export.Written](h, h.WriteRange, in, within(ctx))
		result <- err
	}()
	h.waiting(1)
	cancel(temporal.NewCanceledError())
	if err := <-result; !temporal.IsCanceledError(err) {
		t.Errorf("it ended with %v", err)
	}
	release()
	if parts := h.parts(in.ExportID); len(parts) != 2 {
		t.Errorf("%d parts are recorded", len(parts))
	}
	h.finish(in, format.JSON, 400)
}

func TestAnAttemptEndsSoonWhenItsWorkerStops(t *testing.T) {
	h := newHarness(t)
	h.PartSize = 8 << 10
	h.fill(400)
	in := h.oneRange(format.JSON)
	release := h.holdPart(2)
	stop := make(chan struct{})
	result := make(chan error, 1)
	go func() {
		_, err := do[export.Written](h, h.WriteRange, in, stoppedBy(stop))
		result <- err
	}()
	h.waiting(1)
	begin := time.Now()
	close(stop)
	wantHandOver(t, <-result)
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	release()
	h.finish(in, format.JSON, 400)
}

func stoppedBy(stop chan struct{}) environment {
	return func(env *testsuite.TestActivityEnvironment) { env.SetWorkerStopChannel(stop) }
}

// wantHandOver checks that another worker continues the activity at once, also in a workflow that older code has
// started, and that Temporal does not count the error as a failure.
func wantHandOver(t *testing.T, err error) {
	t.Helper()
	wantRetryable(t, err, "WorkerStopping")
	var applicationErr *temporal.ApplicationError
	if errors.As(err, &applicationErr) {
		if applicationErr.Category() != temporal.ApplicationErrorCategoryBenign || applicationErr.NextRetryDelay() != 100*time.Millisecond {
			t.Errorf("the error is of category %v and retried after %v", applicationErr.Category(), applicationErr.NextRetryDelay())
		}
	}
}

func TestVerifyAndPublishEndWhenTheirWorkerStops(t *testing.T) {
	h := newHarness(t)
	h.fill(10)
	id, plan := h.started(format.JSON)
	in := h.written(id, plan)
	stop := make(chan struct{})
	close(stop)
	// err may be nil here and below, because an attempt may still succeed within 2 seconds after its worker begins
	// to stop.
	_, err := do[any](h, h.Verify, activities.VerifyInput{ExportID: id}, stoppedBy(stop))
	if err != nil {
		wantHandOver(t, err)
	}
	if _, err = do[any](h, h.Publish, in, stoppedBy(stop)); err != nil {
		wantHandOver(t, err)
		h.wantStatus(id, export.Processing)
	}
	must[activities.PublishResult](h, h.Publish, in)
	h.wantStatus(id, export.Ready)
}

// twoAttempts runs two attempts at the same time. An attempt that is about to record the part with this number
// waits until the other attempt is about to record it too. twoAttempts returns the errors of the attempts that
// failed.
func (h *harness) twoAttempts(part int, attempt func() error) (lost []error) {
	release := h.holdPart(part)
	results := make(chan error, 2)
	for started := range 2 {
		go func() { results <- attempt() }()
		h.waiting(started + 1)
	}
	release()
	for range 2 {
		if err := <-results; err != nil {
			lost = append(lost, err)
		}
	}
	return lost
}

// Two attempts run at the same time if the first attempt can reach Postgres but not Temporal. Temporal
// then receives no heartbeats from the first attempt and starts the second.
func TestOneOfTwoConcurrentAttemptsStopsAndNoMemoryIsWrittenTwice(t *testing.T) {
	h := newHarness(t)
	h.PartSize = 8 << 10
	h.fill(400)
	in := h.oneRange(format.JSON)
	lost := h.twoAttempts(1, func() error {
		_, err := do[export.Written](h, h.WriteRange, in)
		return err
	})
	if len(lost) != 1 {
		t.Fatalf("%d attempts failed: %v", len(lost), lost)
	}
	// The error must be retryable, because the attempt that stopped may be the newer one, which Temporal
	// is waiting for.
	wantRetryable(t, lost[0], attempt.TypeOvertaken)
	h.wantFile(in.ExportID, format.JSON)
	h.finish(in, format.JSON, 400)
}
