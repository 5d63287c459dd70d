//go:build downloads

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const (
	slowDownloads = 200
	slowRate      = 20_000 // bytes a second, each
	slowFor       = 15 * time.Second
	slowMemory    = 64 << 20 // bytes of the API process, above what it has when idle
)

func manySlowDownloadsTakeLittleMemory(t *testing.T, f *downloads) {
	encodings := []string{"identity"}
	if f.compressed {
		encodings = append(encodings, "gzip")
	}
	for _, encoding := range encodings {
		t.Run(encoding, func(t *testing.T) { f.slowly(t, encoding) })
	}
}

// slowly downloads the file many times at once, as its encoding, from an API process of its own.
func (f *downloads) slowly(t *testing.T, encoding string) {
	api, url := f.api(t)
	c := f.client.at(url)
	c.do(t, "GET", "/readyz").want(t, 200)
	idle := resident(t, api.pid())
	file := f.client.do(t, "GET", f.path(), "Accept-Encoding", encoding).want(t, 200).body // of another process

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
		peak, most = max(peak, resident(t, api.pid())), max(most, reading.Load())
		time.Sleep(pollEvery)
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

// readSlowly reads until the context ends, and compares it with the file.
func readSlowly(ctx context.Context, c *client, path, encoding string, file []byte, reading *atomic.Int64) error {
	// A small window, so that it is the server that waits and not the kernel that has the file.
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
			return fmt.Errorf("a download broke off after %d bytes: %w", offset, err)
		}
		if !bytes.Equal(piece, file[offset:offset+len(piece)]) {
			return fmt.Errorf("a download is not the file near byte %d", offset)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// resident is the memory in bytes that a process has in RAM.
func resident(t *testing.T, pid int) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(status), "VmRSS:")
	if !found {
		t.Fatalf("the kernel does not tell the memory of a process: %s", status)
	}
	kib, err := strconv.ParseInt(strings.Fields(after)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}
