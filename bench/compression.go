package main

import (
	"context"
	"fmt"
	"time"

	"memexport/internal/workshop/benchstack"
	"memexport/internal/workshop/measure"
)

// packing is a value of EXPORT_COMPRESSION, with the measurements that were made with it.
type packing struct {
	compression string
	exports     samples
	stored      int64           // size of the objects in bytes
	gzip        []time.Duration // times of downloads by a client that accepts gzip
	gzipBytes   int64           // how many bytes were sent to that client
}

// compression compares exports that are stored uncompressed with exports that are stored compressed.
// Exports of the two kinds alternate.
func (b *benchmark) compression(ctx context.Context) ([]measure.Table, error) {
	data := b.moderate()
	t := measure.Table{Title: "Compression: " + data.Name + ", stored as they are and compressed",
		Head: []string{"Format, EXPORT_COMPRESSION", "READY after s", "ratio", "CPU s", "worker peak MiB", "MB", "MB stored", "plain download s", "gzip download s", "MB sent as gzip"},
		Note: "Downloads are read and discarded, without unpacking. The memories repeat some thousand texts, so real ones compress less. " +
			"Every file had the SHA-256 of the file that was stored as it is."}
	c, err := b.Client(ctx, data)
	if err != nil {
		return nil, err
	}
	for _, format := range []string{"csv", "json"} {
		packings := []*packing{{compression: "none"}, {compression: "gzip"}}
		digest := ""
		for round := range b.rounds + 1 { // round 0 only fills the caches
			for _, p := range packings {
				e, err := b.measurePacking(ctx, c, p, format)
				if err != nil {
					return nil, err
				}
				if digest == "" {
					digest = e.SHA256
				}
				if err := e.CheckSHA256(digest); err != nil {
					return nil, fmt.Errorf("with EXPORT_COMPRESSION=%s: %w", p.compression, err)
				}
				if round == 0 {
					p.exports, p.gzip = nil, nil
				}
			}
			say("%s, compression: round %d of %d", format, round, b.rounds)
		}
		for _, p := range packings {
			t.Add(format+", "+p.compression, measure.Seconds(p.exports.wall()), p.exports.ratioTo(packings[0].exports), measure.Seconds(p.exports.cpu()),
				measure.Mebibytes(p.exports.peak()), measure.Megabytes(p.exports[0].bytes), measure.Megabytes(p.stored),
				measure.Seconds(p.exports.download()), measure.Seconds(measure.Median(p.gzip)), measure.Megabytes(p.gzipBytes))
		}
	}
	return []measure.Table{t}, b.Restart(ctx, 1)
}

// measurePacking restarts the processes, creates an export, downloads it once without and once with
// gzip, adds the results to p, and deletes the export.
func (b *benchmark) measurePacking(ctx context.Context, c benchstack.Client, p *packing, format string) (benchstack.Export, error) {
	if err := b.Restart(ctx, 1, "EXPORT_COMPRESSION="+p.compression); err != nil {
		return benchstack.Export{}, err
	}
	m, e, err := b.measureExport(ctx, c, format)
	if err != nil {
		return e, err
	}
	if m.download, m.downloadPeak, err = b.measureDownload(ctx, c, e); err != nil {
		return e, err
	}
	began := time.Now()
	if p.gzipBytes, err = c.DownloadGzip(ctx, e); err != nil {
		return e, err
	}
	p.exports, p.gzip = append(p.exports, m), append(p.gzip, time.Since(began))
	if p.stored, err = b.StoredBytes(e.ID); err != nil {
		return e, err
	}
	return e, b.Discard(ctx, c, e.ID)
}
