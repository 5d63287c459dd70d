package e2e

import (
	"context"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"memexport/internal/workshop/await"
)

var adminListening = regexp.MustCompile(`"msg":"admin listening","address":"([^"]+)"`)

// adminURL waits until the admin port of a process listens and returns its URL.
func adminURL(t *testing.T, p *command) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	match, err := p.WaitOutput(ctx, adminListening)
	if err != nil {
		t.Fatal(err)
	}
	return "http://" + match[1]
}

// scrape is an answer of /metrics.
type scrape struct {
	types   map[string]string              // by the name of a metric
	labels  map[string]map[string]struct{} // the names of the labels by the name of a metric
	samples map[string]string              // the values by name and labels, as they are written
}

var (
	sample = regexp.MustCompile(`^([a-zA-Z_:][\w:]*)(\{.*\})? (\S+)$`)
	label  = regexp.MustCompile(`(\w+)="(?:[^"\\]|\\.)*"`)
)

func scrapeOf(t *testing.T, url string) scrape {
	t.Helper()
	a := newClient(url, "").do(t, "GET", "/metrics")
	a.want(t, 200)
	s := scrape{types: map[string]string{}, labels: map[string]map[string]struct{}{}, samples: map[string]string{}}
	for line := range strings.Lines(string(a.body)) {
		line = strings.TrimSuffix(line, "\n")
		if declaration, found := strings.CutPrefix(line, "# TYPE "); found {
			name, kind, _ := strings.Cut(declaration, " ")
			s.types[name] = kind
			s.labels[name] = map[string]struct{}{}
		}
		match := sample.FindStringSubmatch(line)
		if strings.HasPrefix(line, "#") || match == nil {
			continue
		}
		s.samples[match[1]+match[2]] = match[3]
		name := match[1]
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if base := strings.TrimSuffix(name, suffix); s.types[base] == "histogram" {
				name = base
			}
		}
		for _, pair := range label.FindAllStringSubmatch(match[2], -1) {
			if pair[1] != "le" && s.labels[name] != nil {
				s.labels[name][pair[1]] = struct{}{}
			}
		}
	}
	return s
}

// documented is a row of a table in docs/metrics.md.
type documented struct {
	name, kind, process string
	labels              []string
	more                bool // the row does not name all labels
}

var (
	row        = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (counter|gauge|histogram) \\| (\\w+) \\| ?(.*?) ?\\| .*\\|$")
	namedLabel = regexp.MustCompile("`([a-z_]+)`")
)

func documentedMetrics(t *testing.T) []documented {
	t.Helper()
	text, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	var all []documented
	for _, match := range row.FindAllStringSubmatch(string(text), -1) {
		d := documented{name: match[1], kind: match[2], process: match[3],
			more: strings.Contains(match[4], "others") || match[4] == "the same"}
		for _, name := range namedLabel.FindAllStringSubmatch(match[4], -1) {
			d.labels = append(d.labels, name[1])
		}
		all = append(all, d)
	}
	if len(all) < 50 {
		t.Fatalf("docs/metrics.md has only %d metrics", len(all))
	}
	return all
}

// check compares a metric of the tables with what a process exports.
func (d documented) check(t *testing.T, process string, s scrape) {
	t.Helper()
	if s.types[d.name] != d.kind {
		t.Errorf("the %s exports %s as %q, but docs/metrics.md says %s", process, d.name, s.types[d.name], d.kind)
		return
	}
	found := slices.Sorted(maps.Keys(s.labels[d.name]))
	for _, name := range d.labels {
		if !slices.Contains(found, name) {
			t.Errorf("%s of the %s has the labels %q, but docs/metrics.md says %q", d.name, process, found, d.labels)
		}
	}
	if strings.HasPrefix(d.name, "memexport_") && !d.more && len(found) != len(d.labels) {
		t.Errorf("%s of the %s has the labels %q, but docs/metrics.md says %q", d.name, process, found, d.labels)
	}
}

func TestPagesDashboardsAndAlertsNameTheScrapedMetrics(t *testing.T) {
	t.Parallel()
	d := newDeployment(t, "metrics")
	api, url := d.api(t)
	worker := d.worker(t, "RECONCILE_EVERY=1s", "SWEEP_EVERY=1s")
	c := d.tenant(t, url, 2_000)
	e := c.ready(t, c.create(t, "format=csv").ID, time.Minute)
	c.digest(t, e)
	c.create(t, "format=json")

	scrapes := map[string]scrape{}
	await.True(t, time.Minute, "the scheduled work ran", func() bool {
		scrapes["worker"] = scrapeOf(t, adminURL(t, worker))
		for _, name := range []string{"memexport_sweeper_success_timestamp_seconds", "memexport_reconciler_success_timestamp_seconds",
			"temporal_workflow_completed_total", // a workflow completes a moment after its activity has
			"memexport_worker_current"} {        // is known a moment after the worker polls
			if scrapes["worker"].types[name] == "" {
				return false
			}
		}
		return true
	})
	scrapes["api"] = scrapeOf(t, adminURL(t, api))
	own := map[string]string{}
	for _, m := range documentedMetrics(t) {
		own[m.name] = m.process
		for process, s := range scrapes {
			if m.process == process || m.process == "both" {
				m.check(t, process, s)
			}
		}
	}
	labels := labelsIn(t, scrapes)
	for _, q := range panelQueries(t) {
		checkNames(t, "the panel "+q.panel+" of "+q.dashboard, q.expr, labels)
	}
	for rule, expr := range ruleQueries(t) {
		checkNames(t, "the rule "+rule, expr, labels)
	}
	for process, s := range scrapes {
		for name := range s.types {
			if strings.HasPrefix(name, "memexport_") && own[name] != process {
				t.Errorf("the %s exports %s, which docs/metrics.md does not list for it", process, name)
			}
		}
		for series := range s.samples {
			if strings.Contains(series, c.workspace) || strings.Contains(series, e.ID) {
				t.Errorf("the %s exports an id: %s", process, series)
			}
		}
	}
	for series, want := range map[string]string{
		`memexport_exports{format="csv",status="READY"}`:                 "1",
		`memexport_exports_ended_total{code="none",status="READY"}`:      "",
		`memexport_memories_written_total{format="csv"}`:                 "2000",
		`memexport_export_ready_seconds_count{format="csv"}`:             "1",
		`memexport_exports_ended_total{code="INTERNAL",status="FAILED"}`: "0",
		`memexport_purges_overdue`:                                       "0",
	} {
		if got, found := scrapes["worker"].samples[series]; !found || want != "" && got != want {
			t.Errorf("the worker exports %s %q, want %q", series, got, want)
		}
	}
	same(t, "exports created", scrapes["api"].samples[`memexport_exports_created_total{format="csv"}`], "1")
	same(t, "downloads", scrapes["api"].samples[`memexport_downloads_total{format="csv",outcome="sent"}`], "1")
	same(t, "memories downloaded", scrapes["api"].samples[`memexport_downloaded_memories_total{format="csv"}`], "2000")
}

func TestNothingIsMeasuredWithoutAnAdminPort(t *testing.T) {
	t.Parallel()
	d := newDeployment(t, "unmeasured")
	_, url := d.api(t, "ADMIN_ADDR=off")
	d.worker(t, "ADMIN_ADDR=off")
	c := d.tenant(t, url, 100)
	c.ready(t, c.create(t, "format=csv").ID, time.Minute)
}
