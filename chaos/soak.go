package main

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// sampleEvery is how often a soak samples what the service uses.
const sampleEvery = 5 * time.Second

// rest is how long a soak waits after its load. Within this time, pools close their idle connections, and the
// service deletes its old rows: see soakSettings. So nothing that the load has caused should be left.
const rest = 6 * time.Minute

// soakSettings make the service delete old rows after five minutes, so that rows are created and deleted within one
// soak. Five minutes are long enough for customers on a busy machine to find their exports.
var soakSettings = []string{"EXPORT_HISTORY=5m", "AUDIT_RETENTION=5m"}

// processMetrics are the metrics that a soak reads from each process.
var processMetrics = map[string]string{
	"process_resident_memory_bytes": "resident memory, MiB",
	"go_memstats_heap_inuse_bytes":  "heap in use, MiB",
	"go_goroutines":                 "goroutines",
	"process_open_fds":              "descriptors",
}

// samples are what the service used at successive times.
type samples struct {
	times         []time.Time
	values        map[string][]float64 // by what was sampled; each has one value for each time
	before, after map[string]float64   // by what was sampled, before and after the load
}

// runSoak lets customers work without faults, and fails if something grows.
func (w *world) runSoak(ctx context.Context) error {
	before, err := w.sampleAtRest(ctx)
	if err != nil {
		return err
	}
	w.say("all processes run; the customers begin")
	go w.supervise(ctx)
	during, stop := context.WithTimeout(ctx, time.Duration(w.seconds)*time.Second)
	defer stop()
	taken := make(chan *samples)
	go func() { taken <- w.takeSamples(during) }()
	w.disturb(ctx)
	all := <-taken
	w.followers.Wait()
	w.say("the customers have ended; %s without load begin", rest)
	pause(ctx, rest)
	if all.before = before; ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if all.after, err = w.sampleAtRest(ctx); err != nil {
		return err
	}
	w.checkSecrecy()
	w.summarize()
	growing, err := all.judge()
	if err != nil {
		return err
	}
	if n := w.violationCount(); n > 0 || len(growing) > 0 {
		return fmt.Errorf("%d violations, and %d quantities grow: %s", n, len(growing), strings.Join(growing, ", "))
	}
	return nil
}

// sampleAtRest samples until a sample succeeds: the processes may have just started.
func (w *world) sampleAtRest(ctx context.Context) (values map[string]float64, err error) {
	for range 60 {
		if values, err = w.sample(ctx); err == nil || !pause(ctx, time.Second) {
			break
		}
	}
	return values, err
}

// takeSamples samples until ctx ends.
func (w *world) takeSamples(ctx context.Context) *samples {
	all := &samples{values: map[string][]float64{}}
	ticker := time.NewTicker(sampleEvery)
	defer ticker.Stop()
	for failed := 0; ; {
		select {
		case <-ctx.Done():
			return all
		case <-ticker.C:
		}
		now := time.Now()
		values, err := w.sample(ctx)
		if err != nil {
			if failed++; failed > 3 && ctx.Err() == nil { // single failures happen: an object may vanish while the bucket is listed
				w.violate("", "four samples in a row have failed, the last one because: %v", err)
				return all
			}
			continue
		}
		failed = 0
		all.times = append(all.times, now)
		for what, v := range values {
			all.values[what] = append(all.values[what], v)
		}
	}
}

// sample returns what the processes, Postgres, Temporal and the bucket hold now.
func (w *world) sample(ctx context.Context) (map[string]float64, error) {
	values := map[string]float64{}
	for _, m := range w.members() {
		if err := m.readMetrics(ctx, values); err != nil {
			return nil, fmt.Errorf("%s: %w", m.name, err)
		}
	}
	var tables []string
	if err := w.db.SelectContext(ctx, &tables, `SELECT relname FROM pg_class WHERE relnamespace = 'memexport'::regnamespace AND relkind = 'r'`); err != nil {
		return nil, err
	}
	queries := map[string]string{"connections to Postgres": `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name <> '` + applicationName + `'`}
	for _, table := range tables {
		queries["rows of "+table] = `SELECT count(*) FROM memexport.` + table
	}
	for what, query := range queries {
		var n int
		if err := w.db.GetContext(ctx, &n, query); err != nil {
			return nil, err
		}
		values[what] = float64(n)
	}
	workflows, err := w.runningWorkflows(ctx)
	if err != nil {
		return nil, err
	}
	objects, err := w.objects(ctx)
	if err != nil {
		return nil, err
	}
	values["running workflows"], values["objects in the bucket"] = float64(workflows), float64(len(objects))
	return values, nil
}

// readMetrics reads the processMetrics of a process.
func (m *member) readMetrics(ctx context.Context, values map[string]float64) error {
	ctx, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.admin+"/metrics", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	found := 0
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		name, text, _ := strings.Cut(lines.Text(), " ")
		what := processMetrics[name]
		if what == "" {
			continue
		}
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return fmt.Errorf("the metric %s: %w", name, err)
		}
		if strings.HasSuffix(what, "MiB") {
			v /= 1 << 20
		}
		values[m.name+": "+what] = v
		found++
	}
	if found != len(processMetrics) {
		return fmt.Errorf("%d of %d metrics were found in /metrics", found, len(processMetrics))
	}
	return lines.Err()
}

// judge prints how each of the quantities has changed, and returns those that grow. The first quarter of the samples
// is left out: caches and pools fill while the service is new.
func (all *samples) judge() (growing []string, err error) {
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "before\tmean\tafter\tper hour\tfrom\tto\tallowed\t\t")
	warm := len(all.times) / 4
	for _, what := range slices.Sorted(maps.Keys(all.values)) {
		t, err := fit(all.times[warm:], all.values[what][warm:])
		if err != nil {
			return nil, err
		}
		verdict := ""
		if t.grows(all.before[what], all.after[what]) {
			verdict = "GROWS"
			growing = append(growing, what)
		}
		fmt.Fprintf(table, "%.1f\t%.1f\t%.1f\t%+.1f\t%+.1f\t%+.1f\t%.1f\t%s\t  %s\n",
			all.before[what], t.mean, all.after[what], t.slope, t.from, t.to, t.allowed(), verdict, what)
	}
	_ = table.Flush() // writes to standard output
	return growing, nil
}
