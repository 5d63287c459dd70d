package main

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"time"
)

// fault is one kind of disturbance.
type fault struct {
	kind       string
	from, to   time.Duration // the shortest and the longest duration
	strike     func(ctx context.Context, r *rand.Rand) (victim string)
	heal       func(ctx context.Context) error // nil if there is nothing to heal
	whileBusy  bool                            // wait for an export that is being written, at most some seconds
	pauseAfter time.Duration                   // added to the pause before the next fault of the lane
}

// lane is a group of faults of which one happens at a time. Faults of different lanes overlap.
type lane []fault

// Only runs of at least longRun seconds have outages of minutes. Such an outage lasts at least shortOutage and at
// most longOutage.
const (
	longRun     = 240
	shortOutage = 2 * time.Minute
	longOutage  = 3 * time.Minute
)

// heartbeat is longer than the service's heartbeat timeout. After it, Temporal gives a stopped worker's
// activities to another worker.
const heartbeat = 33 * time.Second

// lanes returns all faults. Each call returns faults with a state of their own.
func (w *world) lanes() []lane {
	lanes := []lane{w.processFaults(), w.serverFaults(), w.diskFaults(), w.networkFaults(), w.operatorFaults()}
	for i := range lanes {
		lanes[i] = slices.DeleteFunc(lanes[i], func(f fault) bool {
			return f.from == shortOutage && w.seconds < longRun || !strings.Contains(f.kind, w.options.faults)
		})
	}
	return lanes
}

func (w *world) processFaults() lane {
	var hit []*member
	one := func(from []*member, do func(*member)) func(context.Context, *rand.Rand) string {
		return func(_ context.Context, r *rand.Rand) string {
			m := from[r.IntN(len(from))]
			hit = []*member{m}
			do(m)
			return m.name
		}
	}
	all := func(from []*member, do func(*member)) func(context.Context, *rand.Rand) string {
		return func(context.Context, *rand.Rand) string {
			hit = from
			for _, m := range from {
				do(m)
			}
			return "all"
		}
	}
	kill := func(m *member) { m.kill() }
	freeze := func(m *member) { m.signal(syscall.SIGSTOP) }
	term := func(m *member) {
		frozen := w.frozen.Load() // a process that writes to a frozen disk cannot end
		if err := m.terminate(); err != nil && !frozen && !w.frozen.Load() {
			w.violate("", "SIGTERM: %v", err)
		}
	}
	restart := func(context.Context) error {
		for _, m := range hit {
			if err := m.start(); err != nil {
				return err
			}
		}
		return nil
	}
	thaw := func(context.Context) error {
		for _, m := range hit {
			m.signal(syscall.SIGCONT)
		}
		return nil
	}
	const moment, short = 10 * time.Millisecond, 4 * time.Second
	return lane{
		{kind: "kill -9 of a worker", from: moment, to: short, strike: one(w.workers, kill), heal: restart, whileBusy: true},
		{kind: "kill -9 of a worker", from: moment, to: short, strike: one(w.workers, kill), heal: restart, whileBusy: true},
		{kind: "kill -9 of all workers", from: moment, to: 3 * short, strike: all(w.workers, kill), heal: restart, whileBusy: true},
		{kind: "kill -9 of an API", from: moment, to: short, strike: one(w.apis, kill), heal: restart},
		{kind: "kill -9 of all APIs", from: moment, to: short, strike: all(w.apis, kill), heal: restart},
		{kind: "all workers away for minutes", from: shortOutage, to: longOutage, strike: all(w.workers, kill), heal: restart},
		{kind: "SIGSTOP of a worker", from: heartbeat, to: heartbeat + short, strike: one(w.workers, freeze), heal: thaw, whileBusy: true},
		{kind: "SIGSTOP of an API", from: time.Second, to: 2 * short, strike: one(w.apis, freeze), heal: thaw},
		{kind: "SIGTERM of a worker", from: moment, to: short, strike: one(w.workers, term), heal: restart, whileBusy: true},
		{kind: "SIGTERM of an API", from: moment, to: short, strike: one(w.apis, term), heal: restart},
	}
}

func (w *world) serverFaults() lane {
	name := func(s string, do func()) func(context.Context, *rand.Rand) string {
		return func(context.Context, *rand.Rand) string { do(); return s }
	}
	l := lane{
		{kind: "kill -9 of Postgres", from: 10 * time.Millisecond, to: 5 * time.Second, strike: name("postgres", w.killPostgres), heal: w.restartPostgres, pauseAfter: 15 * time.Second},
		{kind: "Postgres away for minutes", from: shortOutage, to: longOutage, strike: name("postgres", w.killPostgres), heal: w.restartPostgres, pauseAfter: 15 * time.Second},
		{kind: "Temporal away for minutes", from: shortOutage, to: longOutage, strike: name("temporal", w.killTemporal), heal: w.restartTemporal, pauseAfter: 15 * time.Second},
		{kind: "kill -9 of Temporal", from: 10 * time.Millisecond, to: 8 * time.Second, strike: name("temporal", w.killTemporal), heal: w.restartTemporal, pauseAfter: 15 * time.Second},
		{kind: "Temporal away", from: heartbeat, to: 45 * time.Second, strike: name("temporal", w.killTemporal), heal: w.restartTemporal, pauseAfter: 15 * time.Second},
		{kind: "Temporal away, then kill -9 of all APIs", from: 5 * time.Second, to: 12 * time.Second, strike: name("temporal and APIs", w.killTemporal), heal: func(ctx context.Context) error {
			for _, m := range w.apis { // a killed process forgets which workflows it still had to start
				m.kill()
				if err := m.start(); err != nil {
					return err
				}
			}
			return w.restartTemporal(ctx)
		}, pauseAfter: 15 * time.Second},
	}
	if w.clock != "" {
		l = append(l, fault{kind: "the clock of Postgres jumps, and jumps back", from: 2 * time.Second, to: 15 * time.Second, strike: w.jump, heal: w.jumpBack})
	}
	return l
}

// diskFaults strike the directory that is the bucket, and its disk.
func (w *world) diskFaults() (l lane) {
	if w.stack.store == nil {
		l = append(l, fault{kind: "bucket replaced by a file", from: time.Second, to: 8 * time.Second,
			strike: w.attempt("bucket", w.loseBucket, w.findBucket), heal: w.findBucket, pauseAfter: 10 * time.Second})
	}
	if w.disk != "" {
		l = append(l,
			fault{kind: "disk full", from: 2 * time.Second, to: 15 * time.Second, strike: w.attempt("disk", w.fillDisk, w.freeDisk), heal: w.freeDisk, pauseAfter: 5 * time.Second},
			fault{kind: "disk full for minutes", from: shortOutage, to: longOutage, strike: w.attempt("disk", w.fillDisk, w.freeDisk), heal: w.freeDisk, pauseAfter: 5 * time.Second},
			fault{kind: "writes to the disk hang for minutes", from: shortOutage, to: longOutage, strike: w.attempt("disk", w.freezeDisk, w.thawDisk), heal: w.thawDisk, pauseAfter: 5 * time.Second},
			fault{kind: "disk read-only", from: time.Second, to: 8 * time.Second, strike: w.attempt("disk", w.protectDisk, w.unprotectDisk), heal: w.unprotectDisk, pauseAfter: 10 * time.Second},
			fault{kind: "writes to the disk hang", from: 5 * time.Second, to: heartbeat + 10*time.Second, strike: w.attempt("disk", w.freezeDisk, w.thawDisk), heal: w.thawDisk, pauseAfter: 5 * time.Second})
	}
	return l
}

// attempt returns a strike that calls do. If do returns an error, the strike calls undo to clean up, and returns "",
// so that no fault is counted.
func (w *world) attempt(victim string, do, undo func(context.Context) error) func(context.Context, *rand.Rand) string {
	return func(ctx context.Context, _ *rand.Rand) string {
		if err := do(ctx); err != nil {
			w.say("%s was not struck: %v", victim, err)
			_ = undo(context.WithoutCancel(ctx)) // fails if there is nothing to undo
			return ""
		}
		return victim
	}
}

func (w *world) networkFaults() lane {
	var hit []*proxy
	set := func(victim string, m mode, proxies ...*proxy) func(context.Context, *rand.Rand) string {
		return func(context.Context, *rand.Rand) string {
			hit = proxies
			setAll(hit, m)
			return victim
		}
	}
	resume := func(context.Context) error { setAll(hit, pass); return nil }
	// breakOff closes the connections that hang, so that the data in them is lost.
	breakOff := func(context.Context) error { setAll(hit, cut); setAll(hit, pass); return nil }
	l := lane{w.duel()}
	for _, server := range []struct {
		name    string
		proxies []*proxy
	}{{"postgres", []*proxy{w.postgresProxy}}, {"temporal", w.temporalProxies}, {"the store", []*proxy{w.storeProxy}}} {
		if server.proxies[0] == nil {
			continue
		}
		l = append(l,
			fault{kind: "cut " + server.name, from: 10 * time.Millisecond, to: 6 * time.Second, strike: set(server.name, cut, server.proxies...), heal: resume},
			fault{kind: "slow " + server.name, from: 4 * time.Second, to: 15 * time.Second, strike: set(server.name, slow, server.proxies...), heal: resume},
			fault{kind: "cut " + server.name + " for minutes", from: shortOutage, to: longOutage, strike: set(server.name, cut, server.proxies...), heal: resume},
			fault{kind: "half-open " + server.name + " for minutes", from: shortOutage, to: longOutage, strike: set(server.name, hang, server.proxies...), heal: resume},
			fault{kind: "half-open " + server.name, from: time.Second, to: 12 * time.Second, strike: set(server.name, hang, server.proxies...), heal: resume},
			fault{kind: "half-open, then lost " + server.name, from: time.Second, to: 12 * time.Second, strike: set(server.name, hang, server.proxies...), heal: breakOff})
	}
	// There are three duels in all, because a duel is given up if no worker writes its export in time.
	return append(l, w.duel(), w.duel())
}

func setAll(proxies []*proxy, m mode) {
	for _, p := range proxies {
		p.set(m)
	}
}

// strike injects faults of a lane until ctx ends, and heals the last one.
func (w *world) strike(ctx context.Context, l lane, r *rand.Rand) {
	longest := 5 * time.Second
	for len(l) > 0 && pause(ctx, between(r, 500*time.Millisecond, longest)) {
		f := l[r.IntN(len(l))]
		lasts := between(r, f.from, f.to)
		if f.whileBusy {
			w.awaitBusy(ctx)
		}
		victim := f.strike(ctx, r)
		if victim == "" { // there was nothing to strike
			continue
		}
		w.countFault(f.kind)
		w.say("fault: %s (%s)", f.kind, victim)
		if f.heal == nil {
			continue
		}
		pause(ctx, lasts)
		w.repair(f)
		pause(ctx, f.pauseAfter)
	}
}

// repair heals a fault, if necessary after the end of the run.
func (w *world) repair(f fault) {
	ctx, stop := context.WithTimeout(context.Background(), 3*time.Minute)
	defer stop()
	err := f.heal(ctx)
	for err != nil && pause(ctx, 500*time.Millisecond) {
		err = f.heal(ctx)
	}
	if err != nil {
		w.violate("", "%s could not be healed, so the test has failed: %v", f.kind, err)
	}
}

// awaitBusy waits until an export is being written, at most four seconds.
func (w *world) awaitBusy(ctx context.Context) {
	for range 40 {
		if w.jobs.choose(rand.New(rand.NewPCG(0, 0)), "PROCESSING") != nil || !pause(ctx, 100*time.Millisecond) {
			return
		}
	}
}
