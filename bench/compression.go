package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// packing is one way of storing files, and what was measured with it.
type packing struct {
	compression string // EXPORT_COMPRESSION
	exports     []sample
	stored      int64
	plain, gzip []time.Duration // downloads by who accepts nothing, and by who accepts gzip
	gzipBytes   int64
}

// compressed lets stored-as-is and stored-compressed take turns.
func (s *stack) compressed(ctx context.Context) ([]table, error) {
	data := distinct(s.atMostAMillion())
	t := table{title: "Compression: " + data.name + ", stored as they are and compressed",
		head: []string{"Format, EXPORT_COMPRESSION", "READY after s", "ratio", "CPU s", "worker peak MiB", "MB", "MB stored", "plain download s", "gzip download s", "MB sent as gzip"},
		note: "Downloads are read and thrown away, without unpacking. The memories are made of some thousand texts: real ones compress less. " +
			"Every file had the SHA-256 of the one that was stored as it is."}
	c, err := s.clientOf(ctx, data)
	if err != nil {
		return nil, err
	}
	for _, format := range []string{"csv", "json"} {
		ways := []*packing{{compression: "none"}, {compression: "gzip"}}
		sum := ""
		for round := range s.rounds + 1 { // round 0 fills the caches
			for _, way := range ways {
				if err := s.measurePacking(ctx, c, way, format, &sum, round > 0); err != nil {
					return nil, err
				}
			}
			say("%s, compression: round %d of %d", format, round, s.rounds)
		}
		for _, way := range ways {
			t.add(format+", "+way.compression, seconds(median(pick(way.exports, wall))), spread(ratios(pick(way.exports, wall), pick(ways[0].exports, wall))),
				seconds(median(pick(way.exports, func(m sample) time.Duration { return m.cpu }))),
				mebibytes(slices.Max(pick(way.exports, func(m sample) int64 { return m.peak }))), megabytes(way.exports[0].bytes), megabytes(way.stored),
				seconds(median(way.plain)), seconds(median(way.gzip)), megabytes(way.gzipBytes))
		}
	}
	s.environment = setVariable(s.environment, "EXPORT_COMPRESSION", "none")
	return []table{t}, s.restart(ctx, 1)
}

func (s *stack) measurePacking(ctx context.Context, c client, way *packing, format string, sum *string, counts bool) error {
	s.environment = setVariable(s.environment, "EXPORT_COMPRESSION", way.compression)
	if err := s.restart(ctx, 1); err != nil {
		return err
	}
	m, e, err := s.measureExport(ctx, c, format)
	if err != nil {
		return err
	}
	if *sum == "" {
		*sum = e.SHA256
	}
	if e.SHA256 != *sum {
		return fmt.Errorf("with EXPORT_COMPRESSION=%s export %s has the SHA-256 %s instead of %s", way.compression, e.ID, e.SHA256, *sum)
	}
	if m.download, m.downloadPeak, err = s.measureDownload(ctx, c, e); err != nil {
		return err
	}
	packed, size, err := c.downloadPacked(ctx, e)
	if err != nil {
		return err
	}
	stored, err := s.storedBytes(e.ID)
	if err != nil {
		return err
	}
	if counts {
		way.exports, way.stored, way.gzipBytes = append(way.exports, m), stored, size
		way.plain, way.gzip = append(way.plain, m.download), append(way.gzip, packed)
	}
	return s.discard(ctx, c, e.ID)
}

// downloadPacked downloads a file as who accepts gzip, and returns how much was sent.
func (c client) downloadPacked(ctx context.Context, e exported) (took time.Duration, size int64, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/v1/exports/"+e.ID+"/download", nil)
	if err != nil {
		return 0, 0, err
	}
	request.Header.Set("X-Api-Key", c.key)
	request.Header.Set("Accept-Encoding", "gzip")
	began := time.Now()
	response, err := c.http.Do(request)
	if err != nil {
		return 0, 0, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return 0, 0, fmt.Errorf("download: %s", response.Status)
	}
	size, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, response.Body, make([]byte, 256<<10))
	return time.Since(began), size, err
}

// storedBytes is the size of an export's objects.
func (s *stack) storedBytes(exportID string) (total int64, err error) {
	err = filepath.WalkDir(filepath.Join(s.bucket, "exports", exportID), func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	return total, err
}

// setVariable is the environment with the variable set to value.
func setVariable(environment []string, name, value string) []string {
	rest := slices.DeleteFunc(slices.Clone(environment), func(variable string) bool { return strings.HasPrefix(variable, name+"=") })
	return append(rest, name+"="+value)
}
