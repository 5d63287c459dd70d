// Command chaos breaks the service on purpose and checks that its promises hold: docs/reliability.md lists them.
//
//	go run ./chaos                       two minutes with a random seed, which is printed
//	go run ./chaos -seconds 600 -seed 7  ten minutes of the faults that the seed 7 chooses
//	go run ./chaos -soak 30              half an hour without faults; fails if the service uses more and more
//
// It runs two APIs, two workers, Postgres and Temporal as separate processes, with a proxy in front of each server.
// While customers create, poll, download and delete exports, and memories are inserted, updated and deleted, a nemesis
// kills, stops and cuts off what it can. A checker that knows every memory compares each file with what it must
// contain. Every violation is printed with the seed, the time and the export; the exit code is then 1.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills this process at once, together with its children
	o, err := parseOptions(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = run(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

// options are the flags. CHAOS_SECONDS and CHAOS_SEED set the defaults of two of them.
type options struct {
	seconds   int
	seed      uint64
	bound     time.Duration
	program   string
	keep      string
	firstOnly bool
	large     int
	store     string
	soak      int
	faults    string
}

func parseOptions(args []string) (o options, err error) {
	seconds, seed := 120, rand.Uint64N(1_000_000)
	if text := os.Getenv("CHAOS_SECONDS"); text != "" {
		if seconds, err = strconv.Atoi(text); err != nil {
			return o, fmt.Errorf("CHAOS_SECONDS is %q: set it to a number of seconds", text)
		}
	}
	if text := os.Getenv("CHAOS_SEED"); text != "" {
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			return o, fmt.Errorf("CHAOS_SEED is %q: set it to a whole number", text)
		}
	}
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.IntVar(&o.seconds, "seconds", seconds, "how long faults are injected; also CHAOS_SECONDS")
	flags.Uint64Var(&o.seed, "seed", seed, "the seed of all choices; also CHAOS_SEED")
	flags.DurationVar(&o.bound, "bound", 4*time.Minute, "how long after the last fault everything must have ended")
	flags.StringVar(&o.program, "program", "", "the memexport to test; without it, chaos builds one from this module")
	flags.StringVar(&o.keep, "keep", "", "an empty or missing directory for the logs and the state of this run, which then stay there")
	flags.BoolVar(&o.firstOnly, "first", false, "stop at the first violation")
	flags.IntVar(&o.large, "large", 20_000, "how many memories the largest workspace has at first")
	flags.StringVar(&o.store, "store", "file", "where exports are kept: file, or s3 for an S3 server behind a proxy")
	flags.StringVar(&o.faults, "faults", "", "inject only the faults whose kind contains this text")
	flags.IntVar(&o.soak, "soak", 0, "run for this many minutes without faults, and fail if what the service uses grows")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.soak > 0 {
		o.seconds = 60 * o.soak
	}
	return o, nil
}

// world is everything that one run needs.
type world struct {
	options
	*report
	*stack
	workspaces []*workspace
	jobs       registry
	followers  sync.WaitGroup
	following  context.Context // of the followers, which go on after the last fault
}

func run(ctx context.Context, o options) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w := &world{options: o, following: ctx, report: newReport(o, cancel)}
	if o.soak > 0 {
		w.say("seed %d, %d minutes without faults", o.seed, o.soak)
	} else {
		w.say("seed %d, %d seconds of faults", o.seed, o.seconds)
	}
	if w.stack, err = startStack(ctx, o, w.say); w.stack != nil {
		defer w.close()
	}
	if err != nil {
		return err
	}
	if err := w.makeWorkspaces(ctx); err != nil {
		return err
	}
	if o.soak > 0 {
		return w.runSoak(ctx)
	}
	w.say("all processes run; the faults begin")
	go w.supervise(ctx)
	go w.watchRows(ctx)
	w.disturb(ctx)
	w.say("the faults have ended")
	w.healed.Store(new(time.Now()))
	settle, stop := context.WithTimeoutCause(ctx, o.bound, errBound)
	defer stop()
	w.followers.Wait()
	if !w.stopped() {
		w.checkAftermath(settle)
	}
	w.summarize()
	if n := w.violationCount(); n > 0 {
		return fmt.Errorf("%d violations with the seed %d", n, o.seed)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

var errBound = errors.New("the bound after the last fault")

// disturb runs customers, mutators and the nemesis until the time for faults is over. When it returns, every fault
// is healed and nobody creates exports any more. Those that exist are still followed.
func (w *world) disturb(ctx context.Context) {
	during, stop := context.WithTimeout(ctx, time.Duration(w.seconds)*time.Second)
	defer stop()
	var all sync.WaitGroup
	for i, ws := range w.workspaces {
		all.Go(func() { ws.mutate(during, w.random(10+i)) })
		all.Go(func() { w.customer(during, ws, w.random(20+i)) })
	}
	if w.soak == 0 {
		for i, lane := range w.lanes() {
			all.Go(func() { w.strike(during, lane, w.random(30+i)) })
		}
	}
	all.Wait()
}

// random returns the random numbers of one actor. They do not depend on what other actors choose.
func (w *world) random(actor int) *rand.Rand { return rand.New(rand.NewPCG(w.seed, uint64(actor))) }

// pause waits for d and reports whether ctx still runs.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// between returns a random duration, at least from and at most to.
func between(r *rand.Rand, from, to time.Duration) time.Duration {
	return from + time.Duration(r.Int64N(int64(to-from)+1))
}
