package main

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"time"
)

// sizes shows that time grows with the number of memories and memory does not, and what unusual
// data does to either.
func (s *stack) sizes(ctx context.Context) ([]table, error) {
	var sets []dataset
	for _, n := range s.rows {
		sets = append(sets, distinct(n))
	}
	sets = append(sets, long(s.texts, s.textSize), long(s.giants, s.giantSize))
	t := table{title: "Sizes: time and memory, JSON, each with fresh processes",
		head: []string{"Data", "median s", "µs/memory", "MB/s", "MB", "worker peak MiB", "download s", "API peak MiB"}}
	medians := map[string]sample{}
	for _, d := range sets {
		m, err := s.measureFresh(ctx, d, "json")
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.name, err)
		}
		medians[d.name] = m
		t.add(d.name, seconds(m.wall), unlessZero(float64(m.wall)/float64(time.Microsecond)/float64(d.memories), "%.2f"),
			perSecond(float64(m.bytes)/1e6, m.wall), megabytes(m.bytes), mebibytes(m.peak), seconds(m.download), mebibytes(m.downloadPeak))
	}
	if small, large := sets[0], sets[len(s.rows)-1]; small.memories < large.memories {
		a, b := medians[small.name], medians[large.name]
		slope := (b.wall - a.wall).Seconds() / float64(large.memories-small.memories)
		t.note = fmt.Sprintf("From %s to %s: %.2f µs for each further memory, and %+.0f MiB of the worker's peak.",
			grouped(small.memories), large.name, slope*1e6, float64(b.peak-a.peak)/(1<<20))
	}
	instant, err := s.instant(ctx)
	return []table{t, instant}, err
}

// measureFresh exports and downloads a data set some times: the medians of the times and the
// greatest of the peaks.
func (s *stack) measureFresh(ctx context.Context, d dataset, format string) (sample, error) {
	c, err := s.clientOf(ctx, d)
	if err != nil {
		return sample{}, err
	}
	if err := s.restart(ctx, 1); err != nil {
		return sample{}, err
	}
	var samples []sample
	for range s.rounds {
		syscall.Sync()
		m, e, err := s.measureExport(ctx, c, format)
		if err == nil && e.MemoryCount != d.memories {
			err = fmt.Errorf("export %s has %d memories instead of %d", e.ID, e.MemoryCount, d.memories)
		}
		if err != nil {
			return m, err
		}
		if m.download, m.downloadPeak, err = s.measureDownload(ctx, c, e); err != nil {
			return m, err
		}
		samples = append(samples, m)
		if err := s.discard(ctx, c, e.ID); err != nil {
			return m, err
		}
	}
	say("%s: %.2fs, peak %s MiB", d.name, median(pick(samples, wall)).Seconds(), mebibytes(samples[0].peak))
	return sample{
		wall: median(pick(samples, wall)), bytes: samples[0].bytes,
		peak:         slices.Max(pick(samples, func(m sample) int64 { return m.peak })),
		download:     median(pick(samples, func(m sample) time.Duration { return m.download })),
		downloadPeak: slices.Max(pick(samples, func(m sample) int64 { return m.downloadPeak })),
	}, nil
}

// instant lets exports of memories that share one created_at take turns with exports of memories
// that do not.
func (s *stack) instant(ctx context.Context) (table, error) {
	t := table{title: "Sizes: one created_at for all memories, against distinct ones, CSV",
		head: []string{"Data, way", "median s", "ratio to distinct", "ratio to psql", "peak MiB"},
		note: "We read the memories of one instant in the order of their random ids, and so all over the table; psql has Postgres sort them where that looks cheaper."}
	distinctOnes, sameOnes := s.largest(), sameInstant(s.largest().memories)
	results := map[string][]sample{}
	races := map[string]*race{}
	for _, d := range []dataset{distinctOnes, sameOnes} {
		r, err := s.newRace(ctx, d)
		if err != nil {
			return t, err
		}
		races[d.name] = r
	}
	if err := s.restart(ctx, 1); err != nil {
		return t, err
	}
	ways := []struct{ name, format string }{{psqlCSV, ""}, {"csv", "csv"}}
	for round := range s.rounds + 1 {
		for _, d := range []dataset{distinctOnes, sameOnes} {
			for _, way := range ways {
				r := races[d.name]
				if round == 0 && way.format != "" { // round 0 fills the caches, and says what each file is
					e, _, err := r.client.export(ctx, way.format)
					if err != nil {
						return t, err
					}
					r.sums[way.format] = e.SHA256
					if err := s.discard(ctx, r.client, e.ID); err != nil {
						return t, err
					}
					continue
				}
				m, err := r.measure(ctx, way.name, way.format)
				if err != nil {
					return t, fmt.Errorf("%s, %s: %w", d.name, way.name, err)
				}
				if round > 0 {
					results[d.name+way.name] = append(results[d.name+way.name], m)
				}
			}
		}
		say("one instant against distinct ones: round %d of %d", round, s.rounds)
	}
	for _, way := range ways {
		for _, d := range []dataset{distinctOnes, sameOnes} {
			samples := results[d.name+way.name]
			toDistinct, toPsql := "-", "-"
			if d.name == sameOnes.name {
				toDistinct = spread(ratios(pick(samples, wall), pick(results[distinctOnes.name+way.name], wall)))
			}
			if way.format != "" {
				toPsql = spread(ratios(pick(samples, wall), pick(results[d.name+psqlCSV], wall)))
			}
			t.add(d.name+", "+way.name, seconds(median(pick(samples, wall))), toDistinct, toPsql,
				mebibytes(slices.Max(pick(samples, func(m sample) int64 { return m.peak }))))
		}
	}
	return t, nil
}
