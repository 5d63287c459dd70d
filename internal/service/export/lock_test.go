package export_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"memexport/internal/service/export"
	"memexport/internal/workshop/await"
)

// waiting waits until n statements in the database are blocked by locks. Each channel in early
// delivers the result of an operation that should be blocked. If a result arrives too early, waiting
// fails the test.
func waiting(t *testing.T, db *sqlx.DB, n int, early ...chan error) {
	t.Helper()
	await.True(t, 20*time.Second, fmt.Sprintf("locks block %d statements", n), func() bool {
		for _, c := range early {
			select {
			case err := <-c:
				t.Fatal("the operation did not wait:", err)
			default:
			}
		}
		var blocked int
		err := db.Get(&blocked, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0`)
		if err != nil {
			t.Fatal(err)
		}
		return blocked == n
	})
}

func TestATransitionWaitsForARecording(t *testing.T) {
	t.Parallel()
	for name, do := range operations {
		if name == "Record" || name == "Expire" || name == "ExpireDue" || name == "Start" { // Record runs below; the others do not change a PROCESSING export
			continue
		}
		t.Run(name, func(t *testing.T) {
			s, db := open(t)
			e := in(t, s, export.Processing)
			// Record inserts the same part, and is blocked by this insert until rival ends.
			rival := db.MustBegin()
			rival.MustExec(`INSERT INTO memexport.export_parts SELECT export_id, 1, 0, object, size, checksum, continues, memories, last_created_at, last_id FROM memexport.export_parts`)
			recorded, done := make(chan error, 1), make(chan error, 1)
			go func() { recorded <- operations["Record"](context.Background(), s, e.ID) }()
			waiting(t, db, 1, recorded)
			go func() { done <- do(context.Background(), s, e.ID) }()
			waiting(t, db, 2, recorded, done)
			if err := rival.Rollback(); err != nil {
				t.Fatal(err)
			}
			if err := <-recorded; err != nil {
				t.Error("Record:", err)
			}
			if err := <-done; err != nil {
				t.Errorf("%s: %v", name, err)
			}
			parts, err := s.Parts(t.Context(), e.ID)
			if err != nil || len(parts) != 2 {
				t.Errorf("%d parts: %v", len(parts), err)
			}
		})
	}
}

// An erasure removes an export, and its workflow may record at that moment that it is purged.
func TestAnExportCanBeRemovedWhileItIsPurged(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	e := in(t, s, export.Expired)
	removal := db.MustBegin()
	defer removal.Rollback() //nolint:errcheck // does nothing after a commit
	removal.MustExec(`SELECT FROM memexport.exports WHERE id = $1 FOR UPDATE`, e.ID)
	purged := make(chan error, 1)
	go func() { purged <- s.Purged(context.Background(), e.ID) }()
	waiting(t, db, 1, purged)
	if _, err := removal.Exec(`DELETE FROM memexport.exports WHERE id = $1`, e.ID); err != nil {
		t.Fatal("Remove:", err)
	}
	if err := removal.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-purged; err != nil {
		t.Error("Purged:", err)
	}
}
