//go:build poolers

package e2e

import (
	"sync"
	"testing"
	"time"

	"memexport/internal/workshop/pgtest"
)

// All processes reach their databases through PgBouncer only. In transaction mode, PgBouncer has fewer
// connections than the processes use at the same time.
func TestExportsThroughPgBouncer(t *testing.T) {
	t.Parallel()
	d := newDeployment(t, "poolers")
	for _, c := range []struct {
		mode string
		size int
	}{{"session", 60}, {"transaction", 4}} {
		t.Run(c.mode, func(t *testing.T) {
			env := []string{"DATABASE_URL=" + pgtest.PgBouncer(t, d.database, c.mode, c.size), "TASK_QUEUE=" + c.mode}
			_, url := d.api(t, env...)
			d.worker(t, env...)
			tenant := d.tenant(t, url, 2000)
			want := table(t, openDatabase(t, d.database), tenant.workspace, "")
			const exports = 12
			var group sync.WaitGroup
			ids := make(chan string, exports)
			for range exports {
				group.Go(func() {
					a, err := tenant.try(t.Context(), "POST", "/v1/exports?format=csv")
					if err != nil || a.status != 202 {
						t.Errorf("%v, %+v", err, a)
						return
					}
					ids <- a.export(t).ID
				})
			}
			group.Wait()
			close(ids)
			for id := range ids {
				checkFile(t, tenant.client, tenant.ready(t, id, 5*time.Minute), want)
			}
		})
	}
}

func TestPoolersThatCannotWorkAreRefused(t *testing.T) {
	t.Parallel()
	database := startPostgres(t, newDir(t, "refused-pooler")).URL
	refuses(t, []string{"DATABASE_URL=" + pgtest.PgBouncer(t, database, "transaction", 2)}, []string{"migrate"}, "DATABASE_URL", "pool_mode=session")
	mustRun(t, []string{"DATABASE_URL=" + pgtest.PgBouncer(t, database, "session", 8)}, "migrate")
	for _, command := range []string{"api", "worker"} {
		refuses(t, []string{"DATABASE_URL=" + pgtest.PgBouncer(t, database, "statement", 8), "BUCKET_URL=file:///nowhere"}, []string{command}, "DATABASE_URL", "pool_mode")
	}
}
