//go:build unix

package activities_test

import (
	"testing"
	"time"

	"memexport/activities"
	"memexport/internal/service/archive"
	"memexport/internal/service/attempt"
	"memexport/internal/service/export"
	"memexport/internal/service/format"
	"memexport/internal/service/postgres"
	"memexport/internal/workshop/pgtest"
)

// giveUpAfter makes the activities treat a database that sends nothing for this long as unavailable.
func (h *harness) giveUpAfter(silence time.Duration) {
	h.Helper()
	h.connect(h.url, postgres.Options{MaxConns: 16, Silence: silence})
}

// An attempt sends heartbeats while it waits for Postgres. So Temporal does not notice that Postgres hangs, and
// the attempt itself must end.
func TestEveryActivityEndsWhilePostgresHangsAndThenGoesOn(t *testing.T) {
	h := newHarness(t)
	h.PartSize = 8 << 10
	h.fill(200)
	h.giveUpAfter(2 * time.Second)
	id := h.create(format.JSON)
	plan := afterAHang[activities.PlanResult](h, h.Plan, activities.PlanInput{ExportID: id})
	in := activities.PublishInput{ExportID: id, Ranges: 1}
	in.Written = afterAHang[export.Written](h, h.WriteRange, activities.WriteRangeInput{ExportID: id, Range: plan.Ranges[0].Range})
	afterAHang[archive.Digest](h, h.Verify, activities.VerifyInput{ExportID: id})
	afterAHang[activities.PublishResult](h, h.Publish, in)
	h.wantFile(id, format.JSON)
	afterAHang[activities.ExpireResult](h, h.Expire, activities.ExpireInput{ExportID: id})
	afterAHang[any](h, h.Purge, h.ref(id))
	afterAHang[any](h, h.Fail, activities.FailInput{ExportID: h.create(format.JSON), Code: export.CodeInternal})
}

// afterAHang runs two attempts of an activity. The first attempt runs while Postgres hangs, and must fail with a
// retryable error. The second attempt runs after the hang, and must succeed.
func afterAHang[T any](h *harness, activity, input any) T {
	h.Helper()
	thaw := pgtest.Freeze(h.T)
	h.wantGivenUp(attempt.TypeDatabaseUnavailable, activity, input)
	thaw()
	return must[T](h, activity, input)
}

// wantGivenUp runs an attempt of an activity, and checks that it ends with a retryable error of this type.
func (h *harness) wantGivenUp(errorType string, activity, input any) {
	h.Helper()
	ended := make(chan error, 1)
	go func() {
		_, err := do[any](h, activity, input)
		ended <- err
	}()
	select {
	case err := <-ended:
		wantRetryable(h.T, err, errorType)
	case <-time.After(patience):
		h.Fatal("the attempt has not ended")
	}
}

// One backend of Postgres may hang while the others answer.
func TestAnAttemptEndsWhileAStatementHangs(t *testing.T) {
	h := newHarness(t)
	h.PartSize = 8 << 10
	h.fill(400)
	h.giveUpAfter(2 * time.Second)
	in := h.oneRange(format.JSON)
	release := h.holdPart(2)
	h.wantGivenUp(attempt.TypeDatabaseUnavailable, h.WriteRange, in)
	release()

	tx := h.db.MustBegin()
	defer tx.Rollback() //nolint:errcheck // does nothing after the rollback below
	tx.MustExec(`LOCK TABLE memories`)
	h.wantGivenUp(attempt.TypeSourceUnavailable, h.WriteRange, in)
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	h.finish(in, format.JSON, 400)
}
