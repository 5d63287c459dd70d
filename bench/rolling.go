package main

import (
	"context"
	"fmt"
	"time"

	"memexport/internal/workshop/benchstack"
	"memexport/internal/workshop/measure"
)

// rolling measures what a rolling restart costs an export. Two workers write it, and once writing has begun,
// each of them is replaced. The files must be the same.
func (b *benchmark) rolling(ctx context.Context) ([]measure.Table, error) {
	data := b.largest()
	c, err := b.Client(ctx, data)
	if err != nil {
		return nil, err
	}
	if err := b.Restart(ctx, 2, "LOG_LEVEL=info"); err != nil {
		return nil, err
	}
	var undisturbed, restarted samples
	for round := range b.rounds + 1 { // round 0 only fills the caches
		calm, digest, err := b.measureRolling(ctx, c, false)
		if err != nil {
			return nil, err
		}
		rolled, other, err := b.measureRolling(ctx, c, true)
		if err != nil {
			return nil, err
		}
		if other != digest {
			return nil, fmt.Errorf("with a rolling restart, the file has the SHA-256 %s instead of %s", other, digest)
		}
		if round > 0 {
			undisturbed, restarted = append(undisturbed, calm), append(restarted, rolled)
		}
		say("%s, rolling restart: round %d of %d: undisturbed %.2fs, both workers replaced %.2fs", data.Name, round, b.rounds, calm.wall.Seconds(), rolled.wall.Seconds())
	}
	t := measure.Table{Title: "Rolling restart: " + data.Name + " as JSON, two workers",
		Head: []string{"Workers", "READY after s", "ratio", "CPU s", "ratio", "workers", "Postgres"},
		Note: "CPU is of all processes, including the replaced workers. Every file had the same SHA-256."}
	for _, row := range []struct {
		name string
		samples
	}{{"undisturbed", undisturbed}, {"both replaced while they write", restarted}} {
		t.Add(row.name, measure.Seconds(row.wall()), row.ratioTo(undisturbed),
			measure.Seconds(measure.Median(row.allCPUs())), measure.Spread(measure.Ratios(row.allCPUs(), undisturbed.allCPUs())),
			measure.Seconds(row.cpu()), measure.Seconds(row.postgresCPU()))
	}
	return []measure.Table{t}, b.Restart(ctx, 1)
}

// measureRolling measures one export, and replaces both workers meanwhile if replace is set. It deletes the
// export and returns the SHA-256 of its file.
func (b *benchmark) measureRolling(ctx context.Context, c benchstack.Client, replace bool) (sample, string, error) {
	before, began := b.CPU(), time.Now()
	e, err := c.Create(ctx, "json")
	if err != nil {
		return sample{}, "", err
	}
	if e, err = c.WaitProgress(ctx, e.ID, 10); err != nil { // in both cases, because asking for the progress costs time too
		return sample{}, "", err
	}
	if replace {
		if err := b.ReplaceWorkers(ctx); err != nil {
			return sample{}, "", err
		}
	}
	if e, err = c.Wait(ctx, e.ID); err != nil {
		return sample{}, "", err
	}
	m := sample{wall: time.Since(began)}
	used := b.CPU().Minus(before)
	m.cpu, m.postgresCPU, m.allCPU = used.Workers, used.Postgres, used.All()
	return m, e.SHA256, b.Discard(ctx, c, e.ID)
}
