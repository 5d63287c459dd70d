package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"memexport/internal/workshop/measure"
)

// latencies are the delays with which the S3 server answers in the measurements. Within a cloud region, S3
// answers after 10 to 100 ms.
var latencies = []time.Duration{0, 20 * time.Millisecond, 100 * time.Millisecond}

// latency measures exports to the S3 server through a proxy that delays its answers.
func (b *benchmark) latency(ctx context.Context) ([]measure.Table, error) {
	r, err := b.newRace(ctx, b.moderate())
	if err != nil {
		return nil, err
	}
	if err := r.learnDigest(ctx, "csv"); err != nil {
		return nil, err
	}
	t, err := r.latency(ctx)
	return []measure.Table{t}, errors.Join(err, b.Restart(ctx, 1))
}

func (r *race) latency(ctx context.Context) (measure.Table, error) {
	t := measure.Table{Title: "S3: answers that come later, " + r.data.Name + ", CSV",
		Head: []string{"Delay of each answer", "READY after s", "ratio to no delay", "worker CPU s", "worker peak MiB", "download s"},
		Note: "All through the same kind of proxy, which also needs processor time."}
	results := map[time.Duration]samples{}
	for round := range r.rounds {
		for _, delay := range latencies {
			address, err := r.S3.Delayed(ctx, delay)
			if err != nil {
				return t, err
			}
			if err := r.Restart(ctx, 1, r.S3.Settings(address)...); err != nil {
				return t, err
			}
			m, err := r.measureSame(ctx, "csv")
			if err != nil {
				return t, fmt.Errorf("with a delay of %s: %w", delay, err)
			}
			results[delay] = append(results[delay], m)
			say("S3 with a delay of %s, round %d of %d: %.2fs", delay, round+1, r.rounds, m.wall.Seconds())
		}
	}
	for _, delay := range latencies {
		s := results[delay]
		t.Add(delay, measure.Seconds(s.wall()), s.ratioTo(results[0]), measure.Seconds(s.cpu()), measure.Mebibytes(s.peak()), measure.Seconds(s.download()))
	}
	return t, nil
}
