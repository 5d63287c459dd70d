//go:build monitoring

package e2e

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
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

// quiet describes the queries that may return nothing as long as nothing fails. The key is a part of a query's
// expression. The value says whether the faults that the test causes must make the query return something.
var quiet = map[string]bool{
	`temporal_activity_execution_failed_total`:         true,
	`temporal_workflow_task_execution_failed_total`:    true,
	`gocdk_status!="OK"`:                               true,
	`error_type!=""`:                                   true,
	`temporal_request_failure_total`:                   true, // the first worker asks for schedules that do not exist yet
	`temporal_request_resource_exhausted_total`:        true,
	`temporal_long_request_resource_exhausted_total`:   true,
	`temporal_sticky_cache_miss_total`:                 true, // a miss needs a full cache, and the cache usually holds 500 workflows
	`http_response_status_code=~"5.."}[20s])) or vect`: true,
}

// mayBeQuiet reports whether an expression may return nothing as long as nothing fails, and whether it must
// return something by the end of the test.
func mayBeQuiet(expr string) (quietly, answersInFaults bool) {
	for part, answers := range quiet {
		if strings.Contains(expr, part) {
			return true, answers
		}
	}
	return false, true
}

// showPanels evaluates the queries of every panel while the service is under load, and prints the numbers.
func (p *prometheus) showPanels(t *testing.T) {
	t.Helper()
	title, silent := "", 0
	for _, q := range panelQueries(t) {
		if q.dashboard != title {
			title = q.dashboard
			t.Logf("=== %s", title)
		}
		result := p.query(t, q.expr)
		numbers := 0
		for _, s := range result {
			if value, err := strconv.ParseFloat(fmt.Sprint(s.Value[1]), 64); err == nil && value == value { // not NaN
				numbers++
			}
		}
		if quietly, _ := mayBeQuiet(q.expr); numbers == 0 && quietly {
			silent++
		} else if numbers == 0 {
			t.Errorf("the panel %q of %q shows no number under load: %s", q.panel, q.dashboard, q.expr)
		}
		t.Logf("%-38s %-11s %s", q.panel, q.unit, inWords(result))
	}
	t.Logf("%d queries answer nothing without a fault", silent)
}

// inWords returns up to six values with their labels. Processes are named by their port.
func inWords(result []series) string {
	var texts []string
	for _, s := range result {
		value, _ := strconv.ParseFloat(fmt.Sprint(s.Value[1]), 64)
		var labels []string
		for name, label := range s.Metric {
			if name != "__name__" && name != "job" {
				labels = append(labels, strings.TrimPrefix(label, "127.0.0.1"))
			}
		}
		slices.Sort(labels)
		texts = append(texts, strings.TrimSpace(strings.Join(labels, " ")+" "+strconv.FormatFloat(value, 'g', 4, 64)))
	}
	slices.Sort(texts)
	if len(texts) > 6 {
		texts = append(texts[:6], fmt.Sprintf("and %d more", len(texts)-6))
	}
	if len(texts) == 0 {
		return "(nothing)"
	}
	return strings.Join(texts, ", ")
}

// checkPanels fails the test if a query of a panel has never answered since the given time.
func (p *prometheus) checkPanels(t *testing.T, since time.Time) {
	t.Helper()
	for _, q := range panelQueries(t) {
		if _, answers := mayBeQuiet(q.expr); answers && len(p.queryRange(t, q.expr, since)) == 0 {
			t.Errorf("the panel %q of %q never showed anything: %s", q.panel, q.dashboard, q.expr)
		}
	}
}

var (
	selector = regexp.MustCompile(`\b((?:memexport|temporal|http|db|gocloud|process|go|target)_\w+|up)(\{[^}]*\})?`)
	matcher  = regexp.MustCompile(`(\w+) *(?:=~|!~|!=|=) *"`)
	grouping = regexp.MustCompile(`by \(([^)]*)\)`)
)

// checkNames fails the test if an expression names a metric that was not scraped since the given time, or a
// label that the metric does not have.
func (p *prometheus) checkNames(t *testing.T, where, expr string, since time.Time) (metrics int) {
	t.Helper()
	found := map[string]bool{} // all labels of the metrics in the expression
	plain := regexp.MustCompile(`"[^"]*"`).ReplaceAllString(expr, `""`)
	plain = grouping.ReplaceAllString(plain, "")
	for _, match := range selector.FindAllStringSubmatch(plain, -1) {
		metrics++
		var all []map[string]string
		p.ask(t, "/api/v1/series", url.Values{"match[]": {match[1]}, "start": {since.Format(time.RFC3339)}, "end": {time.Now().Format(time.RFC3339)}}, &all)
		labels := map[string]bool{}
		for _, s := range all {
			for name := range s {
				labels[name], found[name] = true, true
			}
		}
		if len(all) == 0 {
			if answers, known := quiet[match[1]]; !known || answers {
				t.Errorf("%s: no process exports %s", where, match[1])
			}
			continue
		}
		for _, m := range matcher.FindAllStringSubmatch(match[2], -1) {
			if !labels[m[1]] {
				t.Errorf("%s: %s has no label %s", where, match[1], m[1])
			}
		}
	}
	for _, match := range grouping.FindAllStringSubmatch(expr, -1) {
		for name := range strings.SplitSeq(match[1], ",") {
			if name = strings.TrimSpace(name); !found[name] {
				t.Errorf("%s: no metric has the label %s of %s", where, name, match[0])
			}
		}
	}
	return metrics
}
