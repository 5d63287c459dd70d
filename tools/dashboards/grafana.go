package main

import (
	"encoding/json"
	"maps"
	"strings"
)

// dashboard is a dashboard of Grafana. Each row has a title and some panels.
type dashboard struct {
	uid, title, description string
	processes               bool // whether the dashboard has a variable that selects processes
	rows                    []row
}

type row struct {
	title  string
	panels []panel
}

// panel shows one or more queries over time, or as one number if kind is "stat".
type panel struct {
	title, description string
	unit               string
	kind               string // "timeseries" if empty
	width              int    // number of columns, out of 24; 0 means 8
	queries            []query
}

// query is an expression in PromQL. In legend, {{label}} stands for the value of a label.
type query struct{ expr, legend string }

const height = 7 // height of a panel

// object is an object of JSON.
type object = map[string]any

// source refers to the variable that holds the chosen Prometheus.
var source = object{"type": "prometheus", "uid": "${datasource}"}

// marshal returns the dashboard as Grafana 11 and newer import it.
func (d dashboard) marshal() ([]byte, error) {
	var panels []object
	id, y := 0, 0
	next := func() int { id++; return id }
	for _, r := range d.rows {
		panels = append(panels, object{"id": next(), "type": "row", "title": r.title, "collapsed": false, "panels": []object{},
			"gridPos": object{"x": 0, "y": y, "w": 24, "h": 1}})
		y++
		x := 0
		for _, p := range r.panels {
			if p.width == 0 {
				p.width = 8
			}
			if x+p.width > 24 {
				x, y = 0, y+height
			}
			panels = append(panels, p.object(next(), object{"x": x, "y": y, "w": p.width, "h": height}))
			x += p.width
		}
		y += height
	}
	text, err := json.MarshalIndent(object{
		"uid": d.uid, "title": d.title, "description": d.description, "tags": []string{"memexport"},
		"schemaVersion": 39, "version": 1, "editable": true, "graphTooltip": 1, "timezone": "", "refresh": "30s",
		"time": object{"from": "now-6h", "to": "now"}, "panels": panels,
		"templating": object{"list": d.variables()},
		"links": []object{{"type": "dashboards", "title": "memexport", "tags": []string{"memexport"}, "asDropdown": true,
			"includeVars": true, "keepTime": true}},
	}, "", " ")
	return append(text, '\n'), err
}

func (d dashboard) variables() []object {
	all := []object{{"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "refresh": 1}}
	label := func(name, title, expr string) object {
		return object{"name": name, "label": title, "type": "query", "datasource": source, "refresh": 2, "sort": 1,
			"query": object{"query": "label_values(" + expr + ", " + name + ")", "refId": "A"}}
	}
	// One job at a time, because a panel does not tell one deployment from another.
	all = append(all, label("job", "deployment", `up{job=~"(.+/)?memexport"}`))
	if d.processes {
		process := label("instance", "process", `target_info{job="$job", service_name=~"memexport-(.*-)?`+d.part()+`(-.*)?"}`)
		maps.Copy(process, object{"multi": true, "includeAll": true, "allValue": ".*", "current": object{"text": "All", "value": "$__all"}})
		all = append(all, process)
	}
	return all
}

// part returns the part of the service that the dashboard shows: api or worker.
func (d dashboard) part() string { return strings.TrimPrefix(d.uid, "memexport-") }

func (p panel) object(id int, position object) object {
	var targets []object
	for i, q := range p.queries {
		targets = append(targets, object{"refId": string(rune('A' + i)), "datasource": source, "expr": q.expr, "legendFormat": q.legend,
			"range": p.kind != "stat", "instant": p.kind == "stat"})
	}
	o := object{"id": id, "type": "timeseries", "title": p.title, "description": p.description, "gridPos": position, "datasource": source,
		"targets":     targets,
		"fieldConfig": object{"defaults": object{"unit": p.unit, "min": 0}, "overrides": []object{}},
		"options":     object{"legend": object{"displayMode": "list", "placement": "bottom"}, "tooltip": object{"mode": "multi", "sort": "desc"}}}
	if p.kind == "stat" {
		o["type"] = "stat"
		o["options"] = object{"reduceOptions": object{"calcs": []string{"lastNotNull"}}, "colorMode": "none"}
	}
	return o
}
