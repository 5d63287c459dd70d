package main

import (
	"os"
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
