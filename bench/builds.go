package main

import (
	"context"
	"fmt"
	"path/filepath"

	"memexport/internal/workshop/benchstack"
	"memexport/internal/workshop/measure"
)

// program is a build of memexport, and the measurements of its exports by format.
type program struct {
	name    string
	path    string // empty for this build
	exports map[string]samples
	digests map[string]string // the SHA-256 of the files, by format
}

// builds compares this build with others. They take turns, and each turn has new processes.
func (b *benchmark) builds(ctx context.Context) ([]measure.Table, error) {
	t := measure.Table{Title: "Builds: exports by each build, against the first",
		Head: []string{"Shape, format, load, build", "median s", "ratio", "CPU s", "ratio", "worker", "ratio", "Postgres", "ratio", "download s", "same file"},
		Note: "CPU is of all processes. Downloads are read and discarded."}
	for _, s := range b.chosenShapes() {
		for _, load := range []struct {
			name   string
			within func(func() error) error
		}{{"alone", alone}, {"bystander", withBystander}} {
			var programs []*program
			for _, path := range append(b.others[:len(b.others):len(b.others)], "") {
				programs = append(programs, &program{name: filepath.Base(path), path: path, exports: map[string]samples{}, digests: map[string]string{}})
			}
			programs[len(programs)-1].name = "this"
			if err := load.within(func() error { return b.alternate(ctx, s.data, programs) }); err != nil {
				return nil, fmt.Errorf("%s, %s: %w", s.name, load.name, err)
			}
			for _, format := range []string{"csv", "json"} {
				first := programs[0].exports[format]
				for _, p := range programs {
					own := p.exports[format]
					t.Add(fmt.Sprintf("%s, %s, %s, %s", s.name, format, load.name, p.name), measure.Seconds(own.wall()), own.ratioTo(first),
						measure.Seconds(measure.Median(own.allCPUs())), measure.Spread(measure.Ratios(own.allCPUs(), first.allCPUs())),
						measure.Seconds(own.cpu()), measure.Spread(measure.Ratios(own.cpus(), first.cpus())),
						measure.Seconds(own.postgresCPU()), measure.Spread(measure.Ratios(own.postgresCPUs(), first.postgresCPUs())),
						measure.Seconds(own.download()), p.digests[format] == programs[0].digests[format])
				}
			}
		}
	}
	b.UseBinary("")
	return []measure.Table{t}, b.Restart(ctx, 1)
}

// alternate measures one export in each format by each program, in every round. In round 0 it measures
// nothing, because the caches fill.
func (b *benchmark) alternate(ctx context.Context, d benchstack.Dataset, programs []*program) error {
	for round := range b.rounds + 1 {
		line := ""
		for _, p := range turns(programs, round) {
			b.UseBinary(p.path)
			if err := b.Restart(ctx, 1, d.Environment()...); err != nil {
				return err
			}
			c, err := b.Client(ctx, d)
			if err != nil {
				return err
			}
			for _, format := range []string{"csv", "json"} {
				m, e, err := b.measureWhole(ctx, c, d, format)
				if err != nil {
					return fmt.Errorf("%s, the %s build: %w", format, p.name, err)
				}
				p.digests[format] = e.SHA256
				if round > 0 {
					p.exports[format] = append(p.exports[format], m)
				}
				line += fmt.Sprintf("  %s %s %.2fs, CPU %.2fs", p.name, format, m.wall.Seconds(), m.allCPU.Seconds())
			}
		}
		say("%s, builds: round %d of %d:%s", d.Name, round, b.rounds, line)
	}
	return nil
}
