//go:build monitoring

package e2e

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

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

// labelsSince returns a function that finds the labels of a metric among what was scraped since the given time.
func (p *prometheus) labelsSince(t *testing.T, since time.Time) func(metric string) (labels map[string]bool, mayLack bool) {
	return func(metric string) (map[string]bool, bool) {
		t.Helper()
		var all []map[string]string
		p.ask(t, "/api/v1/series", url.Values{"match[]": {metric}, "start": {since.Format(time.RFC3339)}, "end": {time.Now().Format(time.RFC3339)}}, &all)
		labels := map[string]bool{}
		for _, s := range all {
			for name := range s {
				labels[name] = true
			}
		}
		answers, known := quiet[metric]
		return labels, known && !answers
	}
}
