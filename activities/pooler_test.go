//go:build poolers

package activities_test

import (
	"testing"
	"time"

	"memexport/activities"
	"memexport/internal/service/export"
	"memexport/internal/service/format"
	"memexport/internal/service/postgres"
	"memexport/internal/workshop/pgtest"
)

// through makes the activities reach the database through PgBouncer, which opens at most size connections to
// the database.
func (h *harness) through(mode string, size int) {
	h.Helper()
	url := pgtest.PgBouncer(h.T, h.url, mode, size)
	h.connect(url, postgres.Options{MaxConns: 16, Pooled: mode == "transaction"})
}

// Every step of an export must work through PgBouncer, even if PgBouncer has fewer connections than ranges
// that are written at the same time. If a reader held its connection until its part is recorded, the readers
// together could use up the connections, and no part could be recorded.
func TestAnExportThroughAPoolerWithFewConnections(t *testing.T) {
	h := newHarness(t)
	h.PartSize = 32 << 10
	h.fill(1000)
	h.throughFewConnections(2)
}

// A reader of a large memory holds a connection for its page and another one for the memory, and cannot pause
// within the memory. So such readers could use up the connections sooner.
func TestLargeMemoriesThroughAPoolerWithFewConnections(t *testing.T) {
	h := newHarness(t)
	h.PartSize = 32 << 10
	h.fill(400)
	h.exec(`UPDATE memories m SET memory = repeat('large ', CASE WHEN n % 40 = 3 THEN 300000 ELSE 1000000 END)
		FROM (SELECT id, row_number() OVER (ORDER BY created_at, id) AS n FROM memories) numbered WHERE m.id = numbered.id AND n % 20 = 3`)
	h.throughFewConnections(2)
}

// throughFewConnections writes four ranges at the same time through a pooler with the given number of
// connections, and checks the whole life of the export.
func (h *harness) throughFewConnections(size int) {
	h.Helper()
	ranges := h.split(4)
	h.through("transaction", size)
	id := h.create(format.JSON)
	if _, err := h.Exports.Start(h.Context(), id, ranges); err != nil {
		h.Fatal(err)
	}
	results := make(chan error, len(ranges))
	for i, r := range ranges {
		go func() {
			_, err := do[export.Written](h, h.WriteRange, activities.WriteRangeInput{ExportID: id, Number: i, Range: r.Range})
			results <- err
		}()
	}
	late := time.After(4 * patience)
	for range ranges {
		select {
		case err := <-results:
			if err != nil {
				h.Error(err)
			}
		case <-late:
			h.Fatal("the ranges wait for each other")
		}
	}
	// The second attempts of the activities return what the first attempts have recorded.
	must[activities.PublishResult](h, h.Publish, h.written(id, activities.PlanResult{Ranges: ranges}))
	h.wantFile(id, format.JSON)
	must[activities.ExpireResult](h, h.Expire, activities.ExpireInput{ExportID: id})
	must[any](h, h.Purge, h.ref(id))
}
