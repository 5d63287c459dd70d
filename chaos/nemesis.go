package main

import (
	"context"
	"math/rand/v2"
	"syscall"
	"time"
)

// fault is one kind of disturbance.
type fault struct {
	kind       string
	from, to   time.Duration // how long it lasts
	strike     func(ctx context.Context, r *rand.Rand) (victim string)
	heal       func(ctx context.Context) error // nil if there is nothing to heal
	whileBusy  bool                            // wait for an export that is being written, at most some seconds
	pauseAfter time.Duration                   // added to the pause before the next fault of the lane
}

// lane is a group of faults of which one happens at a time. Faults of different lanes overlap.
type lane []fault

// heartbeat is longer than the service's heartbeat timeout, so that Temporal gives a stopped worker's activities
// to another worker.
const heartbeat = 33 * time.Second

// lanes returns all faults. Each call returns faults with a state of their own.
func (w *world) lanes() []lane {
	return []lane{w.processFaults(), w.serverFaults(), w.networkFaults(), w.operatorFaults()}
}

func (w *world) processFaults() lane {
	var hit []*member
	choose := func(from []*member, all bool) func(context.Context, *rand.Rand) string {
		return func(_ context.Context, r *rand.Rand) string {
			hit = []*member{from[r.IntN(len(from))]}
			if all {
				hit = from
			}
			return hit[0].name
		}
	}
	struck := func(from []*member, all bool, do func(*member)) func(context.Context, *rand.Rand) string {
		return func(ctx context.Context, r *rand.Rand) string {
			victim := choose(from, all)(ctx, r)
			for _, m := range hit {
				do(m)
			}
			if all {
				return "all"
			}
			return victim
		}
	}
	kill := func(m *member) { m.kill() }
	freeze := func(m *member) { m.signal(syscall.SIGSTOP) }
	term := func(m *member) {
		if err := m.terminate(); err != nil {
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
		{kind: "kill -9 of a worker", from: moment, to: short, strike: struck(w.workers, false, kill), heal: restart, whileBusy: true},
		{kind: "kill -9 of a worker", from: moment, to: short, strike: struck(w.workers, false, kill), heal: restart, whileBusy: true},
		{kind: "kill -9 of all workers", from: moment, to: 3 * short, strike: struck(w.workers, true, kill), heal: restart, whileBusy: true},
		{kind: "kill -9 of an API", from: moment, to: short, strike: struck(w.apis, false, kill), heal: restart},
		{kind: "kill -9 of all APIs", from: moment, to: short, strike: struck(w.apis, true, kill), heal: restart},
		{kind: "SIGSTOP of a worker", from: heartbeat, to: heartbeat + short, strike: struck(w.workers, false, freeze), heal: thaw, whileBusy: true},
		{kind: "SIGSTOP of an API", from: time.Second, to: 2 * short, strike: struck(w.apis, false, freeze), heal: thaw},
		{kind: "SIGTERM of a worker", from: moment, to: short, strike: struck(w.workers, false, term), heal: restart, whileBusy: true},
		{kind: "SIGTERM of an API", from: moment, to: short, strike: struck(w.apis, false, term), heal: restart},
	}
}

func (w *world) serverFaults() lane {
	name := func(s string, do func()) func(context.Context, *rand.Rand) string {
		return func(context.Context, *rand.Rand) string { do(); return s }
	}
	l := lane{
		{kind: "kill -9 of Postgres", from: 10 * time.Millisecond, to: 5 * time.Second, strike: name("postgres", w.killPostgres), heal: w.restartPostgres, pauseAfter: 15 * time.Second},
		{kind: "kill -9 of Temporal", from: 10 * time.Millisecond, to: 8 * time.Second, strike: name("temporal", w.killTemporal), heal: w.restartTemporal, pauseAfter: 15 * time.Second},
		{kind: "Temporal away", from: heartbeat, to: 45 * time.Second, strike: name("temporal", w.killTemporal), heal: w.restartTemporal, pauseAfter: 15 * time.Second},
		{kind: "Temporal away, then kill -9 of all APIs", from: 5 * time.Second, to: 12 * time.Second, strike: name("temporal and APIs", w.killTemporal), heal: func(ctx context.Context) error {
			for _, m := range w.apis { // they forget which workflows they wanted to start
				m.kill()
				if err := m.start(); err != nil {
					return err
				}
			}
			return w.restartTemporal(ctx)
		}, pauseAfter: 15 * time.Second},
	}
	if w.stack.store == nil {
		l = append(l, fault{kind: "bucket replaced by a file", from: time.Second, to: 8 * time.Second, strike: name("bucket", w.loseBucket),
			heal: func(context.Context) error { return w.findBucket() }, pauseAfter: 10 * time.Second})
	}
	return l
}

func (w *world) networkFaults() lane {
	var hit *proxy
	set := func(p *proxy, name string, m mode) func(context.Context, *rand.Rand) string {
		return func(context.Context, *rand.Rand) string {
			hit = p
			p.set(m)
			return name
		}
	}
	resume := func(context.Context) error { hit.set(pass); return nil }
	breakOff := func(context.Context) error { hit.set(cut); hit.set(pass); return nil } // the connections are lost without notice
	var l lane
	for _, server := range []struct {
		name  string
		proxy *proxy
	}{{"postgres", w.postgresProxy}, {"temporal", w.temporalProxy}, {"the store", w.storeProxy}} {
		if server.proxy == nil {
			continue
		}
		l = append(l,
			fault{kind: "cut " + server.name, from: 10 * time.Millisecond, to: 6 * time.Second, strike: set(server.proxy, server.name, cut), heal: resume},
			fault{kind: "slow " + server.name, from: 4 * time.Second, to: 15 * time.Second, strike: set(server.proxy, server.name, slow), heal: resume},
			fault{kind: "half-open " + server.name, from: time.Second, to: 12 * time.Second, strike: set(server.proxy, server.name, hang), heal: resume},
			fault{kind: "half-open, then lost " + server.name, from: time.Second, to: 12 * time.Second, strike: set(server.proxy, server.name, hang), heal: breakOff})
	}
	return l
}

// strike injects faults of a lane until ctx ends, and heals the last one.
func (w *world) strike(ctx context.Context, l lane, r *rand.Rand) {
	longest := 5 * time.Second
	for pause(ctx, between(r, 500*time.Millisecond, longest)) {
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
