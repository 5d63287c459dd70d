package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sync/errgroup"

	"memexport/internal/workshop/benchstack"
	"memexport/internal/workshop/measure"
)

// manyWorkspaces returns the data sets of scale.
func (o *options) manyWorkspaces() (sets []benchstack.Dataset) {
	for i := range o.workspaces {
		sets = append(sets, benchstack.TinyOf(i))
	}
	return sets
}

// queued is what scale has created: exports of many workspaces.
type queued struct {
	clients []benchstack.Client
	ids     [][]string // by workspace
}

func (q *queued) count() (n int) {
	for _, ids := range q.ids {
		n += len(ids)
	}
	return n
}

// scale creates small exports of many workspaces at once, and measures how long it takes until all are READY,
// how much memory the processes have meanwhile, and how fast the API answers.
func (b *benchmark) scale(ctx context.Context) ([]measure.Table, error) {
	if err := b.Restart(ctx, 1); err != nil {
		return nil, err
	}
	q := &queued{ids: make([][]string, b.workspaces)}
	for i := range b.workspaces {
		c, err := b.Client(ctx, benchstack.TinyOf(i))
		if err != nil {
			return nil, err
		}
		q.clients = append(q.clients, c)
	}
	alone, _, err := b.sequence(ctx, q.clients[0])
	if err != nil {
		return nil, err
	}
	single := measure.Median(alone)
	before, err := b.statusesAlone(ctx, q.clients[0])
	if err != nil {
		return nil, err
	}
	if err := b.ResetPeaks(ctx); err != nil {
		return nil, err
	}
	say("queueing %d exports of each of %d workspaces", b.exports, b.workspaces)
	progress := []memoryUse{b.memoryUse(0)}
	used, began := b.CPU(), time.Now()
	if err := b.createAll(ctx, q); err != nil {
		return nil, err
	}
	created := time.Since(began)
	during, err := b.watchDrain(ctx, q, began, &progress)
	if err != nil {
		return nil, err
	}
	took := time.Since(began)
	used = b.CPU().Minus(used)
	if err := b.checkAll(ctx, q); err != nil {
		return nil, err
	}
	n := q.count()
	sum := time.Duration(n) * single
	each := func(d time.Duration) string { return measure.Millis(d / time.Duration(n)) }
	t := measure.Table{Title: fmt.Sprintf("Scale: %d workspaces, %d exports of %s each, JSON, queued at once", b.workspaces, b.exports, benchstack.Tiny.Name),
		Head: []string{"Exports", "created within s", "all READY after s", "exports/s", "one alone ms", "sum of single ones s", "ratio", "CPU ms/export"},
		Note: "The ratio is the time until all are READY to the sum. CPU is of Temporal, Postgres, worker and API, and includes their work for the status calls."}
	t.Add(humanize.Comma(int64(n)), measure.Seconds(created), measure.Seconds(took), fmt.Sprintf("%.1f", float64(n)/took.Seconds()), measure.Millis(single),
		measure.Seconds(sum), fmt.Sprintf("%.2f", took.Seconds()/sum.Seconds()), each(used.All()))
	answers := measure.Table{Title: "Scale: status calls while the queue drains", Head: []string{"While", "calls", "p50 ms", "p99 ms", "longest ms"},
		Note: "One call after the other, each for another export."}
	for _, c := range []struct {
		name  string
		calls []time.Duration
	}{{"nothing else runs", before}, {"the queue drains", during}} {
		answers.Add(c.name, len(c.calls), measure.Millis(measure.Percentile(c.calls, 50)), measure.Millis(measure.Percentile(c.calls, 99)), measure.Millis(measure.Percentile(c.calls, 100)))
	}
	// The exports stay, because deleting so many takes as long as making them, and the stack is removed anyway.
	return []measure.Table{t, answers, b.memoryTable(progress, n)}, nil
}

// createAll creates the exports. The workspaces take turns.
func (b *benchmark) createAll(ctx context.Context, q *queued) error {
	for i := range q.ids {
		q.ids[i] = make([]string, b.exports)
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(clients)
	for n := range b.exports {
		for i, c := range q.clients {
			group.Go(func() error {
				e, err := c.Create(groupCtx, "json")
				q.ids[i][n] = e.ID
				return err
			})
		}
	}
	return group.Wait()
}

// memoryUse is the memory of the processes in bytes at some time.
type memoryUse struct {
	ready                 int // how many exports were READY
	at                    time.Duration
	worker, api, temporal int64
}

func (b *benchmark) memoryUse(at time.Duration) memoryUse {
	return memoryUse{at: at, worker: measure.ResidentMemory(b.WorkerPID()), api: measure.ResidentMemory(b.APIPID()), temporal: measure.ResidentMemory(b.Temporal.PID)}
}

// watchEvery is how often watchDrain counts the READY exports.
const watchEvery = time.Second

// watchDrain asks for the status of exports until all are READY, and returns how long each answer took. It
// appends to progress.
func (b *benchmark) watchDrain(ctx context.Context, q *queued, began time.Time, progress *[]memoryUse) (calls []time.Duration, err error) {
	for {
		some, err := b.statuses(ctx, q, watchEvery)
		if err != nil {
			return nil, err
		}
		calls = append(calls, some...)
		now := b.memoryUse(time.Since(began))
		if err := b.DB.GetContext(ctx, &now.ready, `SELECT count(*) FROM memexport.exports WHERE status = 'READY' AND deleted_at IS NULL`); err != nil {
			return nil, err
		}
		*progress = append(*progress, now)
		if len(*progress)%10 == 0 {
			say("%d of %d are READY after %s s; worker %s MiB, API %s MiB, Temporal %s MiB", now.ready, q.count(), measure.Seconds(now.at),
				measure.Mebibytes(now.worker), measure.Mebibytes(now.api), measure.Mebibytes(now.temporal))
		}
		if now.ready >= q.count() {
			return calls, nil
		}
	}
}

// statusesAlone measures how long answers take while nothing else runs.
func (b *benchmark) statusesAlone(ctx context.Context, c benchstack.Client) ([]time.Duration, error) {
	e, _, err := c.Export(ctx, "json")
	if err != nil {
		return nil, err
	}
	calls, err := b.statuses(ctx, &queued{clients: []benchstack.Client{c}, ids: [][]string{{e.ID}}}, b.reads)
	return calls, errors.Join(err, b.Discard(ctx, c, e.ID))
}

// statuses asks for the status of random exports for the duration d, and returns how long each answer took.
func (b *benchmark) statuses(ctx context.Context, q *queued, d time.Duration) (calls []time.Duration, err error) {
	for began := time.Now(); time.Since(began) < d; time.Sleep(10 * time.Millisecond) {
		i := rand.IntN(len(q.clients))
		asked := time.Now()
		e, err := q.clients[i].Get(ctx, q.ids[i][rand.IntN(len(q.ids[i]))])
		if err == nil && e.Error != nil {
			err = fmt.Errorf("export %s is %s: %s", e.ID, e.Status, e.Error.Message)
		}
		if err != nil {
			return nil, err
		}
		calls = append(calls, time.Since(asked))
	}
	return calls, nil
}

// memoryTable shows what was measured when each tenth of the exports was READY.
func (b *benchmark) memoryTable(progress []memoryUse, n int) measure.Table {
	t := measure.Table{Title: "Scale: memory while the queue drains", Head: []string{"READY", "after s", "exports/s since the line above", "worker MiB", "API MiB", "Temporal MiB"},
		Note: fmt.Sprintf("The worker's peak was %s MiB, and the API's was %s MiB.", measure.Mebibytes(b.WorkerPeak()), measure.Mebibytes(b.APIPeak()))}
	last := progress[0]
	next := 0
	for _, m := range progress {
		if m.ready < next && m.ready < n {
			continue
		}
		rate := "-"
		if took := m.at - last.at; took > 0 {
			rate = fmt.Sprintf("%.1f", float64(m.ready-last.ready)/took.Seconds())
		}
		t.Add(humanize.Comma(int64(m.ready)), measure.Seconds(m.at), rate, measure.Mebibytes(m.worker), measure.Mebibytes(m.api), measure.Mebibytes(m.temporal))
		last, next = m, m.ready+max(1, n/10)
	}
	return t
}

// checkAll returns an error unless every export is complete.
func (b *benchmark) checkAll(ctx context.Context, q *queued) error {
	var wrong int
	err := b.DB.GetContext(ctx, &wrong, `SELECT count(*) FROM memexport.exports WHERE deleted_at IS NULL AND (status <> 'READY' OR memory_count <> $1)`, benchstack.Tiny.Memories)
	if err == nil && wrong > 0 {
		err = fmt.Errorf("%d of %d exports are incomplete", wrong, q.count())
	}
	return err
}
