package main

import (
	"context"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"

	"memexport/internal/workshop/benchstack"
	"memexport/internal/workshop/measure"
)

// sizes shows that an export of more memories takes more time but not more RAM. It also shows how
// exports behave with very long texts and with memories that share one created_at.
func (b *benchmark) sizes(ctx context.Context) ([]measure.Table, error) {
	var sets []benchstack.Dataset
	for _, n := range b.rows {
		sets = append(sets, benchstack.Distinct(n))
	}
	sets = append(sets, b.longTexts(), b.giantTexts())
	t := measure.Table{Title: "Sizes: time and memory, JSON, each with new processes",
		Head: []string{"Data", "median s", "µs/memory", "MB/s", "MB", "worker peak MiB", "download s", "API peak MiB"}}
	results := map[string]samples{}
	for _, d := range sets {
		r, err := b.measureAlone(ctx, d, "json")
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.Name, err)
		}
		results[d.Name] = r
		wall, bytes := r.wall(), r.bytes()
		t.Add(d.Name, measure.Seconds(wall), measure.Fixed(float64(wall)/float64(time.Microsecond)/float64(d.Memories), 2),
			measure.PerSecond(float64(bytes)/1e6, wall), measure.Megabytes(bytes), measure.Mebibytes(r.peak()),
			measure.Seconds(r.download()), measure.Mebibytes(r.downloadPeak()))
	}
	if small, large := sets[0], sets[len(b.rows)-1]; small.Memories < large.Memories {
		from, to := results[small.Name], results[large.Name]
		slope := (to.wall() - from.wall()).Seconds() / float64(large.Memories-small.Memories)
		t.Note = fmt.Sprintf("From %s to %s: %.2f µs for each further memory, and %+.0f MiB of the worker's peak.",
			humanize.Comma(int64(small.Memories)), large.Name, slope*1e6, float64(to.peak()-from.peak())/(1<<20))
	}
	instant, err := b.instant(ctx)
	return []measure.Table{t, instant}, err
}

// measureAlone restarts the processes, and then exports and downloads a data set once per round.
// Until it returns, the processes export nothing else.
func (b *benchmark) measureAlone(ctx context.Context, d benchstack.Dataset, format string) (samples, error) {
	c, err := b.Client(ctx, d)
	if err != nil {
		return nil, err
	}
	if err := b.Restart(ctx, 1); err != nil {
		return nil, err
	}
	var results samples
	for range b.rounds {
		m, _, err := b.measureWhole(ctx, c, d, format)
		if err != nil {
			return nil, err
		}
		results = append(results, m)
	}
	say("%s: %.2fs, peak %s MiB", d.Name, results.wall().Seconds(), measure.Mebibytes(results[0].peak))
	return results, nil
}

// instant compares exports of memories that all share one created_at with exports of memories that do
// not. Exports of the two kinds alternate.
func (b *benchmark) instant(ctx context.Context) (measure.Table, error) {
	t := measure.Table{Title: "Sizes: one created_at for all memories, against distinct ones, CSV",
		Head: []string{"Data, way", "median s", "ratio to distinct", "ratio to psql", "peak MiB"},
		Note: "The exporter reads the memories of one instant in the order of their random ids, and so from all over the table. For psql, Postgres sorts them where that looks cheaper."}
	distinct, err := b.newRace(ctx, b.largest())
	if err != nil {
		return t, err
	}
	same, err := b.newRace(ctx, benchstack.SameInstant(b.largest().Memories))
	if err != nil {
		return t, err
	}
	if err := b.Restart(ctx, 1); err != nil {
		return t, err
	}
	ways := []runner{{name: psqlCSV}, {name: "csv", format: "csv"}}
	for round := range b.rounds + 1 { // round 0 only fills the caches
		for _, r := range []*race{distinct, same} {
			for _, way := range ways {
				if round == 0 && way.format != "" {
					if err := r.learnDigest(ctx, way.format); err != nil {
						return t, err
					}
					continue
				}
				m, err := r.measure(ctx, way)
				if err != nil {
					return t, fmt.Errorf("%s, %s: %w", r.data.Name, way.name, err)
				}
				if round > 0 {
					r.results[way.name] = append(r.results[way.name], m)
				}
			}
		}
		say("one instant against distinct ones: round %d of %d", round, b.rounds)
	}
	for _, way := range ways {
		for _, r := range []*race{distinct, same} {
			results := r.results[way.name]
			toDistinct, toPsql := "-", "-"
			if r == same {
				toDistinct = results.ratioTo(distinct.results[way.name])
			}
			if way.format != "" {
				toPsql = results.ratioTo(r.results[psqlCSV])
			}
			t.Add(r.data.Name+", "+way.name, measure.Seconds(results.wall()), toDistinct, toPsql, measure.Mebibytes(results.peak()))
		}
	}
	return t, nil
}

// learnDigest creates an export only to get the digest that all later exports must have.
func (r *race) learnDigest(ctx context.Context, format string) error {
	e, _, err := r.client.Export(ctx, format)
	if err != nil {
		return err
	}
	r.digests[format] = e.SHA256
	return r.Discard(ctx, r.client, e.ID)
}
