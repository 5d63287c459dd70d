package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"memexport/internal/workshop/benchstack"
)

// clients is the number of clients in the measurements with several concurrent clients.
const clients = 8

// load runs the clients for the duration d. Each client calls do repeatedly. load returns how long
// each call took, and how long all calls together took, which is a little more than d.
func load(ctx context.Context, d time.Duration, do func(context.Context) error) (calls []time.Duration, took time.Duration, err error) {
	var mu sync.Mutex
	began := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for range clients {
		group.Go(func() error {
			var own []time.Duration
			for time.Since(began) < d {
				start := time.Now()
				if err := do(ctx); err != nil {
					return err
				}
				own = append(own, time.Since(start))
			}
			mu.Lock()
			defer mu.Unlock()
			calls = append(calls, own...)
			return nil
		})
	}
	err = group.Wait()
	return calls, time.Since(began), err
}

// inBackground starts to export a data set repeatedly. It returns when the first export is
// PROCESSING. stop ends the loop and returns how many exports were completed.
func (b *benchmark) inBackground(ctx context.Context, d benchstack.Dataset) (stop func() (int, error), err error) {
	c, err := b.Client(ctx, d)
	if err != nil {
		return nil, err
	}
	e, err := c.Create(ctx, "json")
	for err == nil && e.Status == "PENDING" {
		time.Sleep(5 * time.Millisecond)
		e, err = c.Get(ctx, e.ID)
	}
	if err != nil {
		return nil, err
	}
	waiting, cancel := context.WithCancel(ctx)
	ids, failed := []string{e.ID}, make(chan error, 1)
	go func() {
		failed <- func() error {
			for {
				last := ids[len(ids)-1]
				if _, err := c.Wait(waiting, last); waiting.Err() != nil {
					return nil
				} else if err != nil {
					return err
				}
				// stop cancels the call to Wait, but not the calls to Delete and Create. A cancelled
				// Create could leave an export whose id we do not know.
				if err := c.Delete(ctx, last); err != nil {
					return err
				}
				next, err := c.Create(ctx, "json")
				if err != nil {
					return err
				}
				ids = append(ids, next.ID)
			}
		}()
	}()
	return func() (int, error) {
		cancel()
		if err := <-failed; err != nil {
			return 0, err
		}
		if err := c.Delete(ctx, ids[len(ids)-1]); err != nil {
			return 0, err
		}
		return len(ids) - 1, b.WaitPurged(ctx, ids...)
	}, nil
}

// withBackground calls do while a data set is exported in a loop. It returns how many exports of
// that loop were completed.
func (b *benchmark) withBackground(ctx context.Context, d benchstack.Dataset, do func() error) (completed int, err error) {
	stop, err := b.inBackground(ctx, d)
	if err != nil {
		return 0, err
	}
	err = do()
	completed, stopErr := stop()
	return completed, errors.Join(err, stopErr)
}
