package main

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// clients is how many work at the same time where several do.
const clients = 8

// load has the clients call do, each again and again, until the time is over. It returns how long
// every call took, and how long all of it.
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

// inBackground exports a data set again and again until stop is called, which returns how many
// exports were completed. When it returns the first one is being written.
func (s *stack) inBackground(ctx context.Context, d dataset) (stop func() (int, error), err error) {
	c, err := s.clientOf(ctx, d)
	if err != nil {
		return nil, err
	}
	e, err := c.create(ctx, "json")
	if err != nil {
		return nil, err
	}
	for e.Status == "PENDING" {
		time.Sleep(5 * time.Millisecond)
		if err := c.call(ctx, http.MethodGet, "/v1/exports/"+e.ID, "", &e); err != nil {
			return nil, err
		}
	}
	waiting, cancel := context.WithCancel(ctx)
	ids, failed := []string{e.ID}, make(chan error, 1)
	go func() {
		failed <- func() error {
			for {
				last := ids[len(ids)-1]
				if _, err := c.wait(waiting, last); waiting.Err() != nil {
					return nil
				} else if err != nil {
					return err
				}
				// Only waiting is cut short, so that no export is left which nobody knows of.
				if err := c.delete(ctx, last); err != nil {
					return err
				}
				next, err := c.create(ctx, "json")
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
		if err := c.delete(ctx, ids[len(ids)-1]); err != nil {
			return 0, err
		}
		return len(ids) - 1, s.purged(ctx, ids...)
	}, nil
}

// withBackground runs do while a data set is exported in a loop.
func (s *stack) withBackground(ctx context.Context, d dataset, do func() error) (completed int, err error) {
	stop, err := s.inBackground(ctx, d)
	if err != nil {
		return 0, err
	}
	err = do()
	completed, stopErr := stop()
	return completed, errors.Join(err, stopErr)
}
