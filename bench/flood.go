package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"memexport/internal/workshop/benchstack"
	"memexport/internal/workshop/measure"
)

// floodPause is the pause between two requests. With 40 requests a second, a thousand exports are
// queued in half a minute.
const floodPause = 25 * time.Millisecond

// floodSettings are the settings of the service with which the flood is measured.
var floodSettings = []struct {
	name string
	env  []string
}{
	{"the defaults", nil},
	{"no limits", []string{"EXPORT_WORKSPACE_RUNNING=0", "EXPORT_WORKSPACE_UNFINISHED=0", "EXPORT_WORKSPACE_STORAGE=0"}},
}

// flood measures how one workspace is affected when another workspace creates exports without a pause.
// It measures the small exports of the first workspace four times: before the flood, during the flood, after the
// flood while its exports are still queued, and after the exports of the flood were deleted.
func (b *benchmark) flood(ctx context.Context) ([]measure.Table, error) {
	data := b.flooder()
	small := measure.Table{Title: fmt.Sprintf("A flood: %s, JSON, from POST to READY, while another workspace exports %s", benchstack.Tiny.Name, data.Name),
		Head: []string{"With", "While", "exports", "p50 s", "p99 s", "longest s", "overtaken by at most"},
		Note: "The last column counts the flooder's exports that became READY during one small export."}
	told := measure.Table{Title: fmt.Sprintf("What became of the flood of %s", b.flooding),
		Head: []string{"With", "requests", "202", "429", "READY at the end of the flood", "bucket MB then"},
		Note: "Then the small exports went on for as long again, and the flooder's exports were deleted."}
	for _, setting := range floodSettings {
		if err := b.Restart(ctx, 1, setting.env...); err != nil {
			return nil, err
		}
		if err := b.measureFlood(ctx, data, setting.name, &small, &told); err != nil {
			return nil, fmt.Errorf("with %s: %w", setting.name, err)
		}
	}
	return []measure.Table{small, told}, b.Restart(ctx, 1)
}

// flooder returns the data set of the workspace that creates the flood. It is the smallest one that the
// other sections use.
func (o *options) flooder() benchstack.Dataset { return benchstack.Distinct(o.rows[0]) }

func (b *benchmark) measureFlood(ctx context.Context, data benchstack.Dataset, with string, small, told *measure.Table) error {
	quiet, err := b.Client(ctx, benchstack.Tiny)
	if err != nil {
		return err
	}
	noisy, err := b.Client(ctx, data)
	if err != nil {
		return err
	}
	add := func(while string, d time.Duration) error {
		exports, took, err := b.smallFor(ctx, quiet, d)
		if err != nil {
			return err
		}
		overtaken, err := b.overtaken(ctx, exports, data)
		if err != nil {
			return err
		}
		longest := measure.Percentile(took, 100)
		small.Add(with, while, len(took), measure.Seconds(measure.Percentile(took, 50)), measure.Seconds(measure.Percentile(took, 99)),
			measure.Seconds(longest), overtaken)
		say("%s, %s: %d small exports, the longest %s s", with, while, len(took), measure.Seconds(longest))
		return nil
	}
	if err := add("before", b.flooding/3); err != nil {
		return err
	}
	stop := b.startFlood(ctx, noisy)
	var accepted []string
	var refused, ready int
	var stored int64
	var group errgroup.Group
	group.Go(func() (err error) { // the last small export may take longer than the flood
		select {
		case <-time.After(b.flooding):
		case <-ctx.Done():
		}
		ready, err = b.countReady(ctx, data)
		var sizeErr, floodErr error
		stored, sizeErr = b.BucketBytes()
		accepted, refused, floodErr = stop()
		return errors.Join(err, sizeErr, floodErr)
	})
	err = add("during the flood", b.flooding)
	if err := errors.Join(err, group.Wait()); err != nil {
		return err
	}
	told.Add(with, len(accepted)+refused, len(accepted), refused, ready, measure.Megabytes(stored))
	if err := add("while its queue is left", b.flooding); err != nil {
		return err
	}
	say("%s: deleting the %d exports of the flood", with, len(accepted))
	if err := b.Discard(ctx, noisy, accepted...); err != nil {
		return err
	}
	return add("after its exports were deleted", b.flooding/3)
}

// smallFor makes small exports one after the other for the duration d, and at least one.
func (b *benchmark) smallFor(ctx context.Context, c benchstack.Client, d time.Duration) (ids []string, took []time.Duration, err error) {
	for began := time.Now(); len(ids) == 0 || time.Since(began) < d; {
		e, wall, err := c.Export(ctx, "json")
		if err == nil {
			err = e.CheckCount(benchstack.Tiny.Memories)
		}
		if err != nil {
			return nil, nil, err
		}
		ids, took = append(ids, e.ID), append(took, wall)
	}
	return ids, took, nil
}

// startFlood starts clients that create exports until stop is called. stop returns the accepted exports
// and the number of refused requests.
func (b *benchmark) startFlood(ctx context.Context, c benchstack.Client) (stop func() (accepted []string, refused int, err error)) {
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	var mu sync.Mutex
	var accepted []string
	var refused int
	var problem error
	work := make(chan struct{})
	group.Go(func() {
		defer close(work)
		ticker := time.NewTicker(floodPause)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
			select {
			case work <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
	})
	for range clients {
		group.Go(func() {
			for range work {
				// Do not cancel a POST, because that could leave an export whose id is unknown.
				e, err := c.Create(context.WithoutCancel(ctx), "json")
				mu.Lock()
				switch {
				case err == nil:
					accepted = append(accepted, e.ID)
				case errors.Is(err, benchstack.ErrTooManyRequests):
					refused++
				default:
					problem = errors.Join(problem, err)
				}
				mu.Unlock()
			}
		})
	}
	return func() ([]string, int, error) {
		cancel()
		group.Wait()
		return accepted, refused, problem
	}
}

// overtaken counts, for each export in ids, how many exports of the workspace of data became READY after that export
// was created and before that export was READY. It returns the highest count.
func (b *benchmark) overtaken(ctx context.Context, ids []string, data benchstack.Dataset) (n int, err error) {
	for _, id := range ids {
		var during int
		err := b.DB.GetContext(ctx, &during, `SELECT count(*) FROM memexport.exports f, memexport.exports e
			WHERE e.id = $1 AND f.workspace_id = $2 AND f.size_bytes IS NOT NULL AND f.completed_at BETWEEN e.created_at AND e.completed_at`, id, data.Workspace())
		if err != nil {
			return 0, err
		}
		n = max(n, during)
	}
	return n, nil
}

func (b *benchmark) countReady(ctx context.Context, data benchstack.Dataset) (n int, err error) {
	err = b.DB.GetContext(ctx, &n, `SELECT count(*) FROM memexport.exports WHERE workspace_id = $1 AND status = 'READY'
		AND deleted_at IS NULL`, data.Workspace())
	return n, err
}
