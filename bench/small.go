package main

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// small is about exports that take no time to speak of: what one costs besides its memories.
func (s *stack) small(ctx context.Context) ([]table, error) {
	c, err := s.clientOf(ctx, tiny)
	if err != nil {
		return nil, err
	}
	if err := s.restart(ctx, 1); err != nil {
		return nil, err
	}
	latency := table{title: fmt.Sprintf("Small exports: %s, JSON, from POST to READY", tiny.name),
		head: []string{"While", "exports", "p50 ms", "p99 ms", "in server p50 ms", "in server p99 ms"},
		note: "One after the other, with `Prefer: wait=60`: from outside the time includes the interval at which a waiting GET looks."}
	one := func(name string) error {
		outside, inside, err := s.sequence(ctx, c)
		if err == nil {
			latency.add(name, len(outside), millis(percentile(outside, 50)), millis(percentile(outside, 99)),
				millis(percentile(inside, 50)), millis(percentile(inside, 99)))
			say("%s: p50 %s ms, p99 %s ms", name, millis(percentile(outside, 50)), millis(percentile(outside, 99)))
		}
		return err
	}
	if err := one("nothing else runs"); err != nil {
		return nil, err
	}
	rate, err := s.sustainedSmall(ctx, c)
	if err != nil {
		return nil, err
	}
	large := s.largest()
	completed, err := s.withBackground(ctx, large, func() error {
		return one(fmt.Sprintf("%s of another workspace are exported in a loop", large.name))
	})
	if err != nil {
		return nil, err
	}
	latency.note += fmt.Sprintf("\nMeanwhile %d large exports were completed.", completed)
	return []table{latency, rate}, nil
}

// sequence exports one after the other, for at most a minute, and returns how long each took for
// the client and in the server.
func (s *stack) sequence(ctx context.Context, c client) (outside, inside []time.Duration, err error) {
	var ids []string
	for began := time.Now(); len(ids) < s.sequential && time.Since(began) < time.Minute; {
		e, took, err := c.export(ctx, "json")
		if err == nil {
			err = checkTiny(e)
		}
		if err != nil {
			return nil, nil, err
		}
		ids, outside, inside = append(ids, e.ID), append(outside, took), append(inside, e.inServer())
	}
	return outside, inside, s.discard(ctx, c, ids...) // not in between: it would be a load of its own
}

// sustainedSmall is how many small exports there can be in a second.
func (s *stack) sustainedSmall(ctx context.Context, c client) (table, error) {
	t := table{title: fmt.Sprintf("Small exports: sustained, %d clients", clients),
		head: []string{"Data", "exports", "exports/s", "p50 ms", "p99 ms", "worker CPU ms/export", "Postgres CPU ms/export"}}
	var mu sync.Mutex
	var ids []string
	worker, server := s.workerCPU(), s.postgresCPU()
	calls, took, err := load(ctx, s.sustained, func(ctx context.Context) error {
		e, _, err := c.export(ctx, "json")
		mu.Lock()
		defer mu.Unlock()
		ids = append(ids, e.ID)
		if err != nil {
			return err
		}
		return checkTiny(e)
	})
	if err != nil {
		return t, err
	}
	n := time.Duration(len(calls))
	t.add(tiny.name+", JSON", len(calls), fmt.Sprintf("%.1f", float64(len(calls))/took.Seconds()), millis(percentile(calls, 50)),
		millis(percentile(calls, 99)), millis((s.workerCPU()-worker)/n), millis((s.postgresCPU()-server)/n))
	say("sustained: %.1f exports/s", float64(len(calls))/took.Seconds())
	return t, s.discard(ctx, c, ids...)
}

func checkTiny(e exported) error {
	if e.MemoryCount != tiny.memories {
		return fmt.Errorf("export %s has %d memories instead of %d", e.ID, e.MemoryCount, tiny.memories)
	}
	return nil
}
