//go:build downloads

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"memexport/internal/workshop/measure"
)

const (
	slowDownloads = 200
	slowRate      = 20_000 // bytes per second for each download
	slowFor       = 15 * time.Second
	slowMemory    = 64 << 20 // by how many bytes the memory of the API process may grow
)

func manySlowDownloadsNeedLittleMemory(t *testing.T, f *downloads) {
	encodings := []string{"identity"}
	if f.compressed {
		encodings = append(encodings, "gzip")
	}
	for _, encoding := range encodings {
		t.Run(encoding, func(t *testing.T) { f.slowly(t, encoding) })
	}
}

// slowly downloads the file many times at once in one encoding. It uses its own API process.
func (f *downloads) slowly(t *testing.T, encoding string) {
	api, url := f.api(t, "API_DOWNLOADS_PER_KEY=0", "API_REQUESTS_PER_SECOND=0")
	c := f.client.at(url)
	c.do(t, "GET", "/readyz").want(t, 200)
	if measure.ResidentMemory(api.PID()) == 0 {
		t.Fatal("the kernel does not tell the memory of a process")
	}
	idle := measure.ResidentMemory(api.PID())
	file := f.client.do(t, "GET", f.path(), "Accept-Encoding", encoding).want(t, 200).body // this request goes to another API process

	ctx, cancel := context.WithTimeout(t.Context(), slowFor)
	defer cancel()
	var reading atomic.Int64
	var group sync.WaitGroup
	for range slowDownloads {
		group.Go(func() {
			if err := readSlowly(ctx, c, f.path(), encoding, file, &reading); err != nil {
				t.Error(err)
			}
		})
	}
	peak, most := idle, int64(0)
	for ctx.Err() == nil {
		peak, most = max(peak, measure.ResidentMemory(api.PID())), max(most, reading.Load())
		time.Sleep(20 * time.Millisecond)
	}
	group.Wait()
	t.Logf("%d downloads at once of %d bytes, %s: from %.1f to at most %.1f MiB, %.1f KiB each", most, len(file), encoding,
		float64(idle)/(1<<20), float64(peak)/(1<<20), float64(peak-idle)/(1<<10)/slowDownloads)
	same(t, "downloads at once", most, slowDownloads)
	if peak-idle > slowMemory {
		t.Errorf("%d downloads took %d bytes of memory, want at most %d", most, peak-idle, slowMemory)
	}
	c.do(t, "GET", "/readyz").want(t, 200)
}

// readSlowly downloads until ctx ends. It compares the bytes that arrive with the file.
func readSlowly(ctx context.Context, c *client, path, encoding string, file []byte, reading *atomic.Int64) error {
	// With a small receive buffer the server must wait for the client. Otherwise the kernel would
	// receive the whole file at once.
	dialer := net.Dialer{Control: func(_, _ string, connection syscall.RawConn) (err error) {
		controlErr := connection.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 16<<10)
		})
		if controlErr != nil {
			return controlErr
		}
		return err
	}}
	own := &http.Transport{DisableCompression: true, DisableKeepAlives: true, DialContext: dialer.DialContext, ReadBufferSize: 1 << 10}
	request, err := http.NewRequest("GET", c.url+path, nil)
	if err != nil {
		return err
	}
	request.Header.Set("X-Api-Key", c.key)
	request.Header.Set("Accept-Encoding", encoding)
	response, err := own.RoundTrip(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != 200 {
		return fmt.Errorf("a download was answered with %s", response.Status)
	}
	reading.Add(1)
	defer reading.Add(-1)
	const every = 100 * time.Millisecond
	tick := time.NewTicker(every)
	defer tick.Stop()
	piece := make([]byte, slowRate*every/time.Second)
	for offset := 0; ; offset += len(piece) {
		if _, err := io.ReadFull(response.Body, piece); err != nil {
			return fmt.Errorf("a download broke after %d bytes: %w", offset, err)
		}
		if !bytes.Equal(piece, file[offset:offset+len(piece)]) {
			return fmt.Errorf("a download differs from the file near byte %d", offset)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
