// Command bench measures the whole product as users run it: `memexport api` and `memexport worker`
// as separate processes, a real Postgres, a real Temporal server, and requests over HTTP. It
// compares the results with psql, which copies the same rows to a file.
//
//	go run ./bench -quick               takes a minute and only shows that everything works
//	go run ./bench                      up to 5 million memories: an hour or two, and about 30 GB of disk
//	go run ./bench -sections speed,reads
//
// It prints progress to standard error and the results, in Markdown, to standard output. The data
// sets stay in -dir for the next run. Everything else is deleted.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"memexport/internal/workshop/benchstack"
	"memexport/internal/workshop/measure"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills this process at once, together with its children
	err := run(ctx, os.Args[1:], os.Stdout)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// benchmark runs the sections on a stack.
type benchmark struct {
	*benchstack.Stack
	options
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
	load := measure.LoadAverage()
	stack, err := benchstack.Start(ctx, benchstack.Options{Dir: o.dir, SharedBuffers: o.buffers, Datasets: o.datasets(),
		Psql: o.needsPsql(), NoFairness: o.noFairness, S3: o.needsS3(), Log: say, Fail: fail})
	if stack != nil {
		defer func() { err = errors.Join(err, stack.Close()) }()
	}
	if err != nil {
		return because(ctx, err)
	}
	b := &benchmark{Stack: stack, options: o}
	fmt.Fprint(out, b.describe(ctx, load))
	for _, s := range sections {
		if !slices.Contains(o.sections, s.name) {
			continue
		}
		say("section %s", s.name)
		began := time.Now()
		tables, err := s.run(b, ctx)
		if err != nil {
			return fmt.Errorf("section %s: %w", s.name, because(ctx, err))
		}
		fmt.Fprintf(out, "\n## %s\n", s.name)
		for _, t := range tables {
			fmt.Fprintf(out, "\n%s", t.Markdown())
		}
		fmt.Fprintf(out, "\nThis section took %s.\n", time.Since(began).Round(time.Second))
	}
	say("the data sets stay in %s", b.Postgres.DataDir)
	return nil
}

// because returns the cause of ctx if ctx has ended, for example because a child died, and
// otherwise err.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

var began = time.Now()

// say prints a progress message.
func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%7.1fs  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
}

// describe returns a description of the machine and the settings, which readers need to judge the
// results.
func (b *benchmark) describe(ctx context.Context, load string) string {
	var text strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&text, "- %s: %s\n", name, value)
		}
	}
	text.WriteString("# memexport benchmark\n\n")
	line("Date", time.Now().UTC().Format("2006-01-02 15:04 MST"))
	memory := "an unknown number of"
	if total := measure.TotalMemory(); total > 0 {
		memory = measure.Fixed(float64(total)/(1<<30), 0)
	}
	line("Machine", fmt.Sprintf("%d cores (%s), %s GiB of memory, %s/%s", runtime.NumCPU(), measure.CPUModel(), memory, runtime.GOOS, runtime.GOARCH))
	line("Load average before", load)
	var version string
	if err := b.DB.GetContext(ctx, &version, `SHOW server_version`); err != nil {
		version = b.Postgres.Version
	}
	buffers := b.buffers
	if measure.UsesHugePages(b.Postgres.PID) { // if the machine has reserved enough huge pages (vm.nr_hugepages)
		buffers += " in huge pages"
	}
	line("Software", fmt.Sprintf("%s, PostgreSQL %s with shared_buffers of %s, Temporal %s", runtime.Version(), version, buffers, b.Temporal.Version))
	var set []string
	for _, name := range benchstack.PassedOn {
		if value := os.Getenv(name); value != "" && name != "PATH" && name != "TMPDIR" {
			set = append(set, name+"="+value)
		}
	}
	line("Settings that are not the defaults", strings.Join(set, " "))
	line("Rounds", fmt.Sprintf("%d; a ratio is the median of the ratios of all rounds, with the least and the greatest", b.rounds))
	return text.String()
}
