package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	alertRules = "../deploy/prometheus/alerts.yml"
	// window replaces the time windows in the rules and in the dashboards. It is long enough for 20 scrapes of
	// make test-monitoring.
	window = "20s"
)

// panelQuery is a query of a panel. Its expr contains none of Grafana's variables, so Prometheus can evaluate it.
type panelQuery struct{ dashboard, panel, unit, expr string }

// panelQueries reads deploy/grafana, and replaces Grafana's variables by values that select all processes
// of the test.
func panelQueries(t *testing.T) []panelQuery {
	t.Helper()
	files, err := filepath.Glob("../deploy/grafana/*.json")
	if err != nil || len(files) != 3 {
		t.Fatalf("the dashboards are %q, %v, want 3", files, err)
	}
	var all []panelQuery
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d struct {
			Title  string
			Panels []struct {
				Title, Type, Description string
				FieldConfig              struct{ Defaults struct{ Unit string } }
				Targets                  []struct{ Expr string }
			}
		}
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				expr := strings.NewReplacer("$__rate_interval", window, "$job", "memexport", "$instance", ".*").Replace(target.Expr)
				if strings.Contains(expr, "$") {
					t.Errorf("%s: the panel %q has an unknown variable: %s", file, p.Title, expr)
				}
				all = append(all, panelQuery{d.Title, p.Title, p.FieldConfig.Defaults.Unit, expr})
			}
		}
	}
	return all
}

// ruleQueries returns the expressions in deploy/prometheus, by the names of the rules.
func ruleQueries(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(alertRules)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	rule := regexp.MustCompile(`(?m)^      - (?:alert|record): (\S+)\n(?:        #.*\n)*        expr: (?:\|\n((?:          .*\n)+)|(.+)\n)`)
	for _, match := range rule.FindAllStringSubmatch(string(text), -1) {
		all[match[1]] = match[2] + match[3]
	}
	if rules := strings.Count(string(text), "\n        expr: "); len(all) != rules || rules < 20 {
		t.Fatalf("%d expressions of %d rules were found", len(all), rules)
	}
	return all
}

var (
	selector = regexp.MustCompile(`\b((?:memexport|temporal|http|db|gocloud|process|go|target)_\w+|up)(\{[^}]*\})?`)
	matcher  = regexp.MustCompile(`(\w+) *(?:=~|!~|!=|=) *"`)
	grouping = regexp.MustCompile(`by \(([^)]*)\)`)
)

// checkNames fails the test if an expression names a metric that no process exports, or a label that the metric does
// not have. labelsOf returns the labels of a metric, which are none if no process exports it. mayLack says that this is
// no mistake.
func checkNames(t *testing.T, where, expr string, labelsOf func(metric string) (labels map[string]bool, mayLack bool)) {
	t.Helper()
	found, lacks := map[string]bool{}, false // the labels of all metrics in the expression
	plain := regexp.MustCompile(`"[^"]*"`).ReplaceAllString(expr, `""`)
	plain = grouping.ReplaceAllString(plain, "")
	for _, match := range selector.FindAllStringSubmatch(plain, -1) {
		labels, mayLack := labelsOf(match[1])
		if len(labels) == 0 {
			lacks = true
			if !mayLack {
				t.Errorf("%s: no process exports %s", where, match[1])
			}
			continue
		}
		for name := range labels {
			found[name] = true
		}
		for _, m := range matcher.FindAllStringSubmatch(match[2], -1) {
			if !labels[m[1]] {
				t.Errorf("%s: %s has no label %s", where, match[1], m[1])
			}
		}
	}
	for _, match := range grouping.FindAllStringSubmatch(expr, -1) {
		for name := range strings.SplitSeq(match[1], ",") {
			if name = strings.TrimSpace(name); !found[name] && !lacks {
				t.Errorf("%s: no metric has the label %s of %s", where, name, match[0])
			}
		}
	}
}

// labelsIn returns a function that finds the labels of a metric in scrapes, and in its row of docs/metrics.md, since
// some labels appear only with an error. A metric may lack if the page says that it appears with its first event.
func labelsIn(t *testing.T, scrapes map[string]scrape) func(metric string) (labels map[string]bool, mayLack bool) {
	t.Helper()
	page, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	_, later, found := strings.Cut(string(page), "\nThese metrics appear only after their first event:")
	later, _, _ = strings.Cut(later, "\n\n")
	if !found {
		t.Fatal("docs/metrics.md does not say which metrics appear only after their first event")
	}
	return func(metric string) (map[string]bool, bool) {
		labels := map[string]bool{}
		for _, s := range scrapes {
			name := metric
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				if base := strings.TrimSuffix(name, suffix); s.types[base] == "histogram" {
					name = base
					labels["le"] = labels["le"] || suffix == "_bucket"
				}
			}
			if s.types[name] == "" && metric != "up" { // Prometheus makes the metric up itself
				continue
			}
			labels["job"], labels["instance"] = true, true // Prometheus adds these labels
			for label := range s.labels[name] {
				labels[label] = true
			}
			row := regexp.MustCompile("(?m)^\\| `" + name + "` .*$").FindString(string(page))
			for _, label := range namedLabel.FindAllStringSubmatch(row, -1) {
				labels[label[1]] = true
			}
		}
		return labels, strings.Contains(later, "`"+metric+"`")
	}
}
