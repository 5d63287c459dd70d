package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"memexport/internal/workshop/benchstack"
	"memexport/internal/workshop/measure"
)

// shape is a kind of memories for which exports are compared with psql.
type shape struct {
	name string
	data benchstack.Dataset
}

// allShapes are the names of the shapes:
//   - small: small memories in the order of the index, alone in their table
//   - demo: the demo's memories, in one table with the memories of other workspaces
//   - wide: texts of 4 KB and metadata of 2 KB
//   - user: the memories of one user, which are 1% of the small ones, with an index on the user
//   - user-unindexed: the memories of one user, without that index
var allShapes = []string{"small", "demo", "wide", "user", "user-unindexed"}

// chosenShapes returns the shapes to measure. There are fewer wide memories, because each is some twenty times
// as large.
func (o *options) chosenShapes() (chosen []shape) {
	n := o.moderate().Memories
	for i, data := range []benchstack.Dataset{
		benchstack.Small(n), benchstack.Distinct(n), benchstack.Wide(max(1, n/10)), benchstack.OneUser(n, true), benchstack.OneUser(n, false),
	} {
		if slices.Contains(o.shapes, allShapes[i]) {
			chosen = append(chosen, shape{name: allShapes[i], data: data})
		}
	}
	return chosen
}

// shapes compares exports of different kinds of memories with psql, while nothing else runs.
func (b *benchmark) shapes(ctx context.Context) ([]measure.Table, error) {
	return b.raceShapes(ctx, "nothing else runs", map[string]string{"csv": "0.60", "json": "0.36"}, alone)
}

// bystander makes the same comparison as shapes, while another program keeps one core busy.
func (b *benchmark) bystander(ctx context.Context) ([]measure.Table, error) {
	return b.raceShapes(ctx, "another program keeps one core busy", map[string]string{"csv": "0.72", "json": "0.44"}, withBystander)
}

// raceShapes compares exports with psql. It calls within(f), where f makes the measurements. The function within calls
// f, and may run another program until f returns. The parameter meanwhile says in the title of the table what else runs
// during the measurements. The map aims contains the ratio to psql that we want to reach, by format.
func (b *benchmark) raceShapes(ctx context.Context, meanwhile string, aims map[string]string, within func(func() error) error) ([]measure.Table, error) {
	t := measure.Table{Title: "Shapes: exports against psql, while " + meanwhile,
		Head: []string{"Shape, way", "memories", "MB", "median s", "ratio to psql", "aim", "CPU s", "ratio to psql", "Postgres", "client", "peak MiB"},
		Note: "CPU is of all processes: Postgres, and psql or the worker, the API and Temporal. The client is psql or the worker."}
	for _, s := range b.chosenShapes() {
		r, err := b.newRace(ctx, s.data)
		if err != nil {
			return nil, err
		}
		r.runners = []runner{{name: psqlCSV}, {name: "csv", format: "csv", against: psqlCSV}, {name: psqlJSON}, {name: "json", format: "json", against: psqlJSON}}
		if err := r.prepare(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		if err := within(func() error { return r.repeat(ctx) }); err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		for _, runner := range r.runners {
			own := r.results[runner.name]
			wall, cpu := "-", "-"
			if against, ok := r.results[runner.against]; ok {
				wall, cpu = own.ratioTo(against), measure.Spread(measure.Ratios(own.allCPUs(), against.allCPUs()))
			}
			t.Add(s.name+", "+runner.name, r.data.Exported(), measure.Megabytes(own.bytes()), measure.Seconds(own.wall()), wall, cmp.Or(aims[runner.format], "-"),
				measure.Seconds(measure.Median(own.allCPUs())), cpu, measure.Seconds(own.postgresCPU()), measure.Seconds(own.cpu()), measure.Mebibytes(own.peak()))
		}
		plan, err := b.PsqlPlan(ctx, s.data)
		if err != nil {
			return nil, err
		}
		t.Note += fmt.Sprintf("\npsql's plan for %s: %s.", s.name, plan)
	}
	return []measure.Table{t}, nil
}
