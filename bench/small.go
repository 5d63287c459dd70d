package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"memexport/internal/workshop/benchstack"
	"memexport/internal/workshop/measure"
)

// sequenceTimeout ends a sequence of small exports early on a slow machine.
const sequenceTimeout = time.Minute

// small measures how long an export of very few memories takes, which is about the fixed cost of
// any export.
func (b *benchmark) small(ctx context.Context) ([]measure.Table, error) {
	c, err := b.Client(ctx, benchstack.Tiny)
	if err != nil {
		return nil, err
	}
	if err := b.Restart(ctx, 1, allAtOnce); err != nil {
		return nil, err
	}
	latency := measure.Table{Title: fmt.Sprintf("Small exports: %s, JSON, from POST to READY", benchstack.Tiny.Name),
		Head: []string{"While", "exports", "p50 ms", "p99 ms", "in server p50 ms", "in server p99 ms"},
		Note: "One after the other, with `Prefer: wait=60`: outside the server the time includes the interval at which a waiting GET looks."}
	add := func(while string) error {
		outside, inside, err := b.sequence(ctx, c)
		if err == nil {
			latency.Add(while, len(outside), measure.Millis(measure.Percentile(outside, 50)), measure.Millis(measure.Percentile(outside, 99)),
				measure.Millis(measure.Percentile(inside, 50)), measure.Millis(measure.Percentile(inside, 99)))
			say("%s: p50 %s ms, p99 %s ms", while, measure.Millis(measure.Percentile(outside, 50)), measure.Millis(measure.Percentile(outside, 99)))
		}
		return err
	}
	if err := add("nothing else runs"); err != nil {
		return nil, err
	}
	rate, err := b.sustainedSmall(ctx, c)
	if err != nil {
		return nil, err
	}
	bare, err := b.bareWorkflows(ctx)
	if err != nil {
		return nil, err
	}
	large := b.largest()
	completed, err := b.withBackground(ctx, large, func() error {
		return add(fmt.Sprintf("%s of another workspace are exported in a loop", large.Name))
	})
	if err != nil {
		return nil, err
	}
	latency.Note += fmt.Sprintf("\nMeanwhile %d large exports were completed.", completed)
	return []measure.Table{latency, rate, bare}, nil
}

// sequence creates small exports one after the other. It returns how long each took as the client
// sees it (outside) and from created_at to completed_at (inside).
func (b *benchmark) sequence(ctx context.Context, c benchstack.Client) (outside, inside []time.Duration, err error) {
	var ids []string
	for began := time.Now(); len(ids) < b.sequential && time.Since(began) < sequenceTimeout; {
		e, took, err := c.Export(ctx, "json")
		if err == nil {
			err = e.CheckCount(benchstack.Tiny.Memories)
		}
		if err != nil {
			return nil, nil, err
		}
		ids, outside, inside = append(ids, e.ID), append(outside, took), append(inside, e.InServer())
	}
	// Delete the exports only now, because deleting one would slow down the export that is measured
	// next.
	return outside, inside, b.Discard(ctx, c, ids...)
}

// idleTime is how long idleCPU watches the processes.
const idleTime = 5 * time.Second

// idleCPU returns the processor time that the processes use in idleTime while nothing runs.
func (b *benchmark) idleCPU(ctx context.Context) (benchstack.CPU, error) {
	used := b.CPU()
	select {
	case <-time.After(idleTime):
	case <-ctx.Done():
		return benchstack.CPU{}, context.Cause(ctx)
	}
	return b.CPU().Minus(used), nil
}

// sustain lets several clients call do for as long as b.sustained. The processor time used is what the processes
// needed beyond what they use while nothing runs.
func (b *benchmark) sustain(ctx context.Context, do func(context.Context) error) (calls []time.Duration, took time.Duration, used benchstack.CPU, err error) {
	idle, err := b.idleCPU(ctx)
	if err != nil {
		return nil, 0, used, err
	}
	before := b.CPU()
	calls, took, err = load(ctx, b.sustained, do)
	return calls, took, b.CPU().Minus(before).Minus(idle.Times(took.Seconds() / idleTime.Seconds())), err
}

// sustainedSmall measures how many small exports per second are completed for several concurrent
// clients.
func (b *benchmark) sustainedSmall(ctx context.Context, c benchstack.Client) (measure.Table, error) {
	t := measure.Table{Title: fmt.Sprintf("Small exports: sustained, %d clients", clients),
		Head: []string{"Data", "exports", "exports/s", "p50 ms", "p99 ms", "CPU ms/export", "Temporal", "Postgres", "worker", "API"},
		Note: "CPU ms/export is the processor time of all processes but the clients, less what they use while nothing runs. The columns after it divide it among them."}
	var mu sync.Mutex
	var ids []string
	calls, took, used, err := b.sustain(ctx, func(ctx context.Context) error {
		e, _, err := c.Export(ctx, "json")
		mu.Lock()
		defer mu.Unlock()
		ids = append(ids, e.ID)
		if err != nil {
			return err
		}
		return e.CheckCount(benchstack.Tiny.Memories)
	})
	if err != nil {
		return t, err
	}
	each := func(d time.Duration) string { return measure.Millis(d / time.Duration(len(calls))) }
	t.Add(benchstack.Tiny.Name+", JSON", len(calls), fmt.Sprintf("%.1f", float64(len(calls))/took.Seconds()), measure.Millis(measure.Percentile(calls, 50)),
		measure.Millis(measure.Percentile(calls, 99)), each(used.All()), each(used.Temporal), each(used.Postgres), each(used.Workers), each(used.API))
	say("sustained: %.1f exports/s, %s ms of CPU each", float64(len(calls))/took.Seconds(), each(used.All()))
	return t, b.Discard(ctx, c, ids...)
}
