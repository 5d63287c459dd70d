package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"memexport/internal/workshop/benchstack"
	"memexport/internal/workshop/measure"
)

// options configure what is measured, and with how much data.
type options struct {
	dir      string
	buffers  string // the Postgres setting shared_buffers
	sections []string
	timeout  time.Duration

	noFairness bool // whether Temporal's fairness is off

	shapes []string // the names of the shapes to measure
	others []string // the paths of other builds of memexport

	rows   []int // numbers of memories, ascending
	rounds int

	texts, textSize      int           // how many memories have a text of about 1 MB, and the size of these texts in bytes
	giants, giantSize    int           // the same for texts so large that the exporter reads them in pieces
	sequential           int           // how many small exports run one after the other
	sustained            time.Duration // how long several clients create small exports
	reads                time.Duration // how long each kind of read is repeated
	batch, batchMemories int           // how many exports run at once to compare one worker with two, and how many memories each has
	crowd                int           // how many such exports run at once to compare values of WORKER_CONCURRENCY
	flooding             time.Duration // how long a workspace creates exports without pause
	besiegers            int           // how many connections a siege opens
	calm                 time.Duration // how long the requests of other callers are measured before and after each siege
	workspaces, exports  int           // how many workspaces queue small exports at once, and how many exports each of them queues
	longBase, longRows   int           // the numbers of memories of two exports whose times per memory are compared
}

// full takes an hour or two. With 7 rounds, a single slow round hardly changes the median.
var full = options{
	timeout: 4 * time.Hour, rows: []int{100_000, 1_000_000, 5_000_000}, rounds: 7,
	texts: 2000, textSize: 1_000_000, giants: 3, giantSize: 100_000_000,
	sequential: 200, sustained: 15 * time.Second, reads: 5 * time.Second,
	batch: 12, batchMemories: 200_000, crowd: 20, flooding: 30 * time.Second, besiegers: 2000, calm: 5 * time.Second,
	workspaces: 100, exports: 200, longBase: 1_000_000, longRows: 20_000_000,
}

// quick takes about a minute. It only shows that everything works.
var quick = options{
	timeout: 15 * time.Minute, rows: []int{20_000, 100_000}, rounds: 3,
	texts: 50, textSize: 1_000_000, giants: 3, giantSize: 10_000_000,
	sequential: 20, sustained: 2 * time.Second, reads: time.Second,
	batch: 12, batchMemories: 10_000, crowd: 12, flooding: 3 * time.Second, besiegers: 200, calm: 2 * time.Second,
	workspaces: 5, exports: 8, longBase: 20_000, longRows: 100_000,
}

// section is a part of the benchmark that can run alone.
type section struct {
	name string
	run  func(*benchmark, context.Context) ([]measure.Table, error)
	// onRequest marks a section that runs only if -sections names it.
	onRequest bool
}

// sections lists all sections in the order in which they run.
var sections = []section{
	{name: "speed", run: (*benchmark).speed},
	{name: "shapes", run: (*benchmark).shapes},
	{name: "bystander", run: (*benchmark).bystander},
	{name: "sizes", run: (*benchmark).sizes},
	{name: "small", run: (*benchmark).small},
	{name: "reads", run: (*benchmark).readRequests},
	{name: "workers", run: (*benchmark).workers},
	{name: "concurrency", run: (*benchmark).concurrency},
	{name: "compression", run: (*benchmark).compression},
	{name: "flood", run: (*benchmark).flood},
	// s3 and latency build an S3 server the first time.
	{name: "s3", run: (*benchmark).s3, onRequest: true},
	{name: "latency", run: (*benchmark).latency, onRequest: true},
	// scale takes a quarter of an hour.
	{name: "scale", run: (*benchmark).scale, onRequest: true},
	// long needs up to 20 GB of disk.
	{name: "long", run: (*benchmark).long, onRequest: true},
	// builds needs other builds of memexport, which -others names.
	{name: "builds", run: (*benchmark).builds, onRequest: true},
	// telemetry restarts the processes for each export.
	{name: "telemetry", run: (*benchmark).telemetry, onRequest: true},
	// rolling replaces the workers during exports of the largest data set.
	{name: "rolling", run: (*benchmark).rolling, onRequest: true},
	// formats needs the packages that npm installs in tools/readers.
	{name: "formats", run: (*benchmark).formats, onRequest: true},
	// siege takes about six minutes. Most of that is waiting, because the API keeps idle connections that
	// long.
	{name: "siege", run: (*benchmark).besiege, onRequest: true},
}

func sectionNames() (all, byDefault []string) {
	for _, s := range sections {
		all = append(all, s.name)
		if !s.onRequest {
			byDefault = append(byDefault, s.name)
		}
	}
	return all, byDefault
}

// parse reads the flags and the environment variables BENCH_ROWS and BENCH_ROUNDS.
func parse(args []string) (options, error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	isQuick := flags.Bool("quick", false, "use little data and short times: shows that everything works, not how fast it is")
	dir := flags.String("dir", filepath.Join(".dev", "bench"), "the `directory` that keeps the data sets for the next run")
	buffers := flags.String("shared-buffers", "256MB", "shared_buffers of Postgres; its manual advises a quarter of the memory")
	noFairness := flags.Bool("no-fairness", false, "turn Temporal's fairness off, which divides tasks between workspaces")
	known, byDefault := sectionNames()
	names := flags.String("sections", strings.Join(byDefault, ","), "what to measure, separated by commas; there are also builds, s3, latency, scale, long, telemetry, rolling, formats and siege")
	workspaces := flags.Int("workspaces", 0, "how many workspaces the section scale has (default 100, with -quick 5)")
	exports := flags.Int("exports", 0, "how many small exports each of these workspaces queues (default 200, with -quick 8)")
	long := flags.Int("long", 0, "how many memories the longer export of the section long has (default 20000000, with -quick 100000)")
	shapeNames := flags.String("shapes", strings.Join(allShapes, ","), "which shapes the sections shapes, bystander and builds measure, separated by commas")
	others := flags.String("others", "", "other builds of memexport for the section builds: their `paths`, separated by commas")
	rounds := flags.Int("rounds", 0, "how often each comparison is repeated (default BENCH_ROUNDS, or else 7, with -quick 3)")
	timeout := flags.Duration("timeout", 0, "when to give up (default 4h, with -quick 15m)")
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "usage: go run ./bench [flags]\n\nBENCH_ROWS (default 100000,1000000,5000000) sets the sizes, and BENCH_ROUNDS (default 7) how often\n"+
			"each comparison is repeated. EXPORT_PARALLEL, WORKER_CONCURRENCY, GOGC, GOMEMLIMIT and GOMAXPROCS are\n"+
			"passed on to the service.")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	if flags.NArg() > 0 {
		return options{}, fmt.Errorf("%q is not a flag: see -help", flags.Arg(0))
	}
	o := full
	if *isQuick {
		o = quick
	}
	o.timeout = cmp.Or(*timeout, o.timeout)
	o.workspaces, o.exports, o.longRows = cmp.Or(*workspaces, o.workspaces), cmp.Or(*exports, o.exports), cmp.Or(*long, o.longRows)
	o.buffers, o.noFairness = *buffers, *noFairness
	o.sections = strings.Split(*names, ",")
	for _, name := range o.sections {
		if !slices.Contains(known, name) {
			return o, fmt.Errorf("there is no section %q: choose from %s", name, strings.Join(known, ", "))
		}
	}
	o.shapes = strings.Split(*shapeNames, ",")
	for _, name := range o.shapes {
		if !slices.Contains(allShapes, name) {
			return o, fmt.Errorf("there is no shape %q: choose from %s", name, strings.Join(allShapes, ", "))
		}
	}
	if o.others = strings.Split(*others, ","); *others == "" && slices.Contains(o.sections, "builds") {
		return o, errors.New("the section builds compares this build with others: name these with -others")
	}
	var err error
	if o.dir, err = filepath.Abs(*dir); err != nil {
		return o, err
	}
	if err := o.readEnvironment(); err != nil {
		return o, err
	}
	if *rounds < 0 || *rounds > 100 {
		return o, fmt.Errorf("-rounds: %d is not a number from 1 to 100", *rounds)
	}
	o.rounds = cmp.Or(*rounds, o.rounds)
	return o, nil
}

func (o *options) readEnvironment() error {
	if text := os.Getenv("BENCH_ROWS"); text != "" {
		o.rows = nil
		for field := range strings.SplitSeq(text, ",") {
			n, err := strconv.Atoi(strings.TrimSpace(field))
			if err != nil || n < 1 || n > 100_000_000 {
				return fmt.Errorf("BENCH_ROWS: %q is not a number from 1 to 100000000", field)
			}
			o.rows = append(o.rows, n)
		}
		slices.Sort(o.rows)
		o.rows = slices.Compact(o.rows)
	}
	if text := os.Getenv("BENCH_ROUNDS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 100 {
			return fmt.Errorf("BENCH_ROUNDS: %q is not a number from 1 to 100", text)
		}
		o.rounds = n
	}
	return nil
}

// largest returns the data set with the most memories.
func (o *options) largest() benchstack.Dataset { return benchstack.Distinct(o.rows[len(o.rows)-1]) }

// moderate returns the largest data set of at most a million memories, because exporting it takes
// only seconds. If all data sets are larger, it returns the smallest.
func (o *options) moderate() benchstack.Dataset {
	n := o.rows[0]
	for _, size := range o.rows {
		if size <= 1_000_000 {
			n = size
		}
	}
	return benchstack.Distinct(n)
}

// datasets returns the data sets that the chosen sections need.
func (o *options) datasets() []benchstack.Dataset {
	var needed []benchstack.Dataset
	for _, section := range o.sections {
		switch section {
		case "speed", "sizes":
			for _, n := range o.rows {
				needed = append(needed, benchstack.Distinct(n))
			}
		case "shapes", "bystander", "builds":
			for _, s := range o.chosenShapes() {
				needed = append(needed, s.data)
			}
			if slices.Contains(o.shapes, "demo") {
				needed = append(needed, benchstack.SameInstant(o.moderate().Memories)) // the demo's table must also contain another workspace's memories
			}
		case "small", "reads", "rolling":
			needed = append(needed, o.largest())
		case "workers", "concurrency":
			needed = append(needed, benchstack.Distinct(o.batchMemories))
		case "compression", "latency", "s3", "siege", "telemetry":
			needed = append(needed, o.moderate())
		case "formats":
			needed = append(needed, o.moderate(), o.giantTexts())
		case "scale":
			needed = append(needed, o.manyWorkspaces()...)
		case "long":
			needed = append(needed, o.longDatasets()...)
		case "flood":
			needed = append(needed, o.flooder())
		}
		if section == "sizes" {
			needed = append(needed, benchstack.SameInstant(o.largest().Memories), o.longTexts(), o.giantTexts())
		}
	}
	return needed
}

func (o *options) longTexts() benchstack.Dataset { return benchstack.Long(o.texts, o.textSize) }

func (o *options) giantTexts() benchstack.Dataset { return benchstack.Long(o.giants, o.giantSize) }

// needsS3 reports whether a chosen section uses the S3 server.
func (o *options) needsS3() bool {
	return slices.Contains(o.sections, "s3") || slices.Contains(o.sections, "latency")
}

// needsPsql reports whether a chosen section runs psql.
func (o *options) needsPsql() bool {
	return slices.ContainsFunc([]string{"speed", "shapes", "bystander", "sizes", "formats", "s3"}, func(name string) bool { return slices.Contains(o.sections, name) })
}
