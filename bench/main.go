// Command bench measures the whole product as its users meet it: `memexport api` and `memexport
// worker` as processes of their own, a real Postgres, a real Temporal server, and requests over
// HTTP. What psql does with the same rows is the yardstick.
//
//	go run ./bench -quick               a minute: does everything work?
//	go run ./bench                      up to 5 million memories: an hour or two, and about 30 GB of disk
//	go run ./bench -sections speed,reads
//
// Progress goes to standard error and the results, which are Markdown, to standard output. The data
// set stays in -dir for the next run; all else is removed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once, and the kernel its children
	err := run(ctx, os.Args[1:], os.Stdout)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options say what is measured, and how much of it.
type options struct {
	dir      string
	buffers  string // shared_buffers of Postgres
	sections []string
	timeout  time.Duration

	rows   []int // the sizes, ascending
	rounds int

	texts, textSize      int           // memories of about 1 MB
	giants, giantSize    int           // memories that are fetched in pieces
	sequential           int           // small exports, one after the other
	sustained            time.Duration // of small exports by several clients
	reads                time.Duration // of each kind of read
	batch, batchMemories int           // exports at once, for several workers
}

var full = options{
	timeout: 4 * time.Hour, rows: []int{100_000, 1_000_000, 5_000_000}, rounds: 7,
	texts: 2000, textSize: 1_000_000, giants: 3, giantSize: 100_000_000,
	sequential: 200, sustained: 15 * time.Second, reads: 5 * time.Second,
	batch: 12, batchMemories: 200_000,
}

var quick = options{
	timeout: 15 * time.Minute, rows: []int{20_000, 100_000}, rounds: 3,
	texts: 50, textSize: 1_000_000, giants: 3, giantSize: 10_000_000,
	sequential: 20, sustained: 2 * time.Second, reads: time.Second,
	batch: 12, batchMemories: 10_000,
}

// section is a part of the benchmark that can be run alone.
type section struct {
	name string
	run  func(*stack, context.Context) ([]table, error)
}

// sections are all of them, in their order.
var sections = []section{
	{"speed", (*stack).speed},
	{"sizes", (*stack).sizes},
	{"small", (*stack).small},
	{"reads", (*stack).reads},
	{"workers", (*stack).twoWorkers},
	{"compression", (*stack).compressed},
}

func sectionNames() []string {
	var names []string
	for _, s := range sections {
		names = append(names, s.name)
	}
	return names
}

func parse(args []string) (options, error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	isQuick := flags.Bool("quick", false, "small data and short times: shows that everything works, not how fast it is")
	dir := flags.String("dir", filepath.Join(".dev", "bench"), "where the data set is kept for the next run")
	buffers := flags.String("shared-buffers", "256MB", "the setting of Postgres; its manual advises a quarter of the memory")
	names := flags.String("sections", strings.Join(sectionNames(), ","), "what to measure")
	timeout := flags.Duration("timeout", 0, "when to give up (default 4h, with -quick 15m)")
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "usage: go run ./bench [flags]\n\nBENCH_ROWS (default 100000,1000000,5000000) are the sizes, BENCH_ROUNDS (default 7) how often each\n"+
			"comparison is repeated. EXPORT_PARALLEL, WORKER_CONCURRENCY, GOGC, GOMEMLIMIT and GOMAXPROCS are passed on.")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	if flags.NArg() > 0 {
		return options{}, fmt.Errorf("%q is no flag: see -help", flags.Arg(0))
	}
	o := full
	if *isQuick {
		o = quick
	}
	if *timeout != 0 {
		o.timeout = *timeout
	}
	o.buffers = *buffers
	o.sections = strings.Split(*names, ",")
	for _, name := range o.sections {
		if !slices.Contains(sectionNames(), name) {
			return o, fmt.Errorf("there is no section %q: there are %s", name, strings.Join(sectionNames(), ", "))
		}
	}
	var err error
	if o.dir, err = filepath.Abs(*dir); err != nil {
		return o, err
	}
	return o, o.environment()
}

// environment reads BENCH_ROWS and BENCH_ROUNDS.
func (o *options) environment() error {
	if text := os.Getenv("BENCH_ROWS"); text != "" {
		o.rows = nil
		for field := range strings.SplitSeq(text, ",") {
			n, err := strconv.Atoi(strings.TrimSpace(field))
			if err != nil || n < 1 || n > 100_000_000 {
				return fmt.Errorf("BENCH_ROWS: %q is no number from 1 to 100000000", field)
			}
			o.rows = append(o.rows, n)
		}
		slices.Sort(o.rows)
		o.rows = slices.Compact(o.rows)
	}
	if text := os.Getenv("BENCH_ROUNDS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 100 {
			return fmt.Errorf("BENCH_ROUNDS: %q is no number from 1 to 100", text)
		}
		o.rounds = n
	}
	return nil
}

// largest is the data set of the greatest size.
func (o *options) largest() dataset { return distinct(o.rows[len(o.rows)-1]) }

// atMostAMillion is the greatest of the sizes that takes seconds and not minutes.
func (o *options) atMostAMillion() int {
	n := o.rows[0]
	for _, size := range o.rows {
		if size <= 1_000_000 {
			n = size
		}
	}
	return n
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	o, err := parse(args)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, o.timeout, fmt.Errorf("not done after %s: raise -timeout", o.timeout))
	defer cancel()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	s, err := start(ctx, o, fail)
	if s != nil {
		defer func() { err = errors.Join(err, s.close()) }()
	}
	if err != nil {
		return because(ctx, err)
	}
	fmt.Fprint(out, s.machine(ctx))
	for _, section := range sections {
		if !slices.Contains(o.sections, section.name) {
			continue
		}
		say("section %s", section.name)
		began := time.Now()
		tables, err := section.run(s, ctx)
		if err != nil {
			return fmt.Errorf("section %s: %w", section.name, because(ctx, err))
		}
		fmt.Fprintf(out, "\n## %s\n", section.name)
		for _, t := range tables {
			fmt.Fprintf(out, "\n%s", t.markdown())
		}
		fmt.Fprintf(out, "\nThis section took %s.\n", time.Since(began).Round(time.Second))
	}
	say("the data set stays in %s", s.postgres.DataDir)
	return nil
}

// because is err, or what made ctx end: a child that died, for example.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

var began = time.Now()

// say tells people how far the benchmark is.
func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%7.1fs  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
}
