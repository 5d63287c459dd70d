package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestTheDashboardsAreCurrent(t *testing.T) {
	for _, d := range []dashboard{overview, worker, api} {
		want, err := d.marshal()
		if err != nil {
			t.Fatal(err)
		}
		path := "../../deploy/grafana/" + d.uid + ".json"
		got, err := os.ReadFile(path)
		if err != nil || string(got) != string(want) {
			t.Errorf("%s differs from tools/dashboards, %v: run `make generate`", path, err)
		}
	}
}

func TestEveryPanelSaysWhatItShows(t *testing.T) {
	for _, d := range []dashboard{overview, worker, api} {
		for _, r := range d.rows {
			for _, p := range r.panels {
				if p.title == "" || p.description == "" || p.unit == "" || len(p.queries) == 0 {
					t.Errorf("%s: the panel %q lacks a title, a description, a unit or a query", d.uid, p.title)
				}
			}
		}
	}
}

var (
	labels   = regexp.MustCompile(`by \([^)]*\)`) // such as http_route, which looks like a metric
	selector = regexp.MustCompile(`\b(?:(?:memexport|temporal|http|db|gocloud|process|go|target)_\w+|up)\b(\{[^}]*\})?`)
)

// Two deployments in one Prometheus have jobs of their own, and so have the Temporal server and other programs.
func TestEveryQuerySelectsTheJob(t *testing.T) {
	for _, d := range []dashboard{overview, worker, api} {
		for _, r := range d.rows {
			for _, p := range r.panels {
				for _, q := range p.queries {
					for _, match := range selector.FindAllStringSubmatch(labels.ReplaceAllString(q.expr, ""), -1) {
						if !strings.HasPrefix(match[1], `{job="$job"`) {
							t.Errorf("%s: the panel %q selects %s of every job", d.uid, p.title, match[0])
						}
					}
				}
			}
		}
		for _, v := range d.variables() {
			if v["name"] == "job" && (v["multi"] != nil || v["includeAll"] != nil) {
				t.Errorf("%s: one can select several jobs, and their numbers would be mixed", d.uid)
			}
		}
	}
}
