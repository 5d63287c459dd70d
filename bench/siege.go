package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"memexport/internal/workshop/benchstack"
	"memexport/internal/workshop/measure"
	"memexport/openapi"
)

const (
	// siegeTimeout is when a siege gives up waiting for its connections to end. It is longer than the
	// API keeps an idle connection. It is also longer than the kernel keeps a closed connection whose
	// client has not read everything.
	siegeTimeout = 200 * time.Second
	// dialers is how many connections are opened at the same time.
	dialers = 32
	// smallWindow is the receive buffer of clients that do not read, so that the server has to wait.
	smallWindow = 4 << 10
)

// siege is a kind of connection that keeps the API waiting. A siege opens many connections of one kind.
type siege struct {
	name  string
	keys  []string // API keys, which the connections use in turn
	first string   // what each connection sends at once, with keyMark in place of a key
	drip  string   // what each connection sends every second after that
}

// sieges returns all kinds of sieges. Every key in keys can download the file at path. The list of
// exports that listKey gets has a full page.
func sieges(keys []string, listKey, path string) []siege {
	const version, key = " HTTP/1.1\r\nHost: x\r\n", "X-Api-Key: " + keyMark + "\r\n"
	return []siege{
		{name: "silent"},
		{name: "slow headers", first: "GET /v1/exports" + version, drip: "X: y\r\n"},
		{name: "endless body", keys: keys, first: "POST /v1/exports" + version + key + "Content-Length: 60000\r\n\r\n", drip: " "},
		{name: "docs, never read", first: "GET /docs/" + openapi.DocsComponentName + version + "\r\n"},
		// Ask for ten lists, because a single one would fit into the kernel's buffers.
		{name: "lists, never read", keys: []string{listKey}, first: strings.Repeat("GET /v1/exports?page_size=100"+version+key+"\r\n", 10)},
		{name: "download, never read", keys: keys, first: "GET " + path + version + key + "\r\n"},
	}
}

// keyMark stands for a key in siege.first.
const keyMark = "KEY"

// moments are the times since the start of a siege at which the connections are counted for the second
// table.
var moments = []time.Duration{2 * time.Second, 8 * time.Second, 15 * time.Second, 30 * time.Second, 55 * time.Second, 70 * time.Second, 90 * time.Second}

// course holds the measurements of one siege.
type course struct {
	before, during, after []time.Duration   // how long requests of normal callers took
	held                  []measure.Sockets // connections at each of the moments, until the siege ends
	resident              []int64           // memory of the API at the same moments
	most                  measure.Sockets
	idle, peak            int64 // memory of the API before the siege, and the peak during the siege
	gone                  time.Duration
}

// besiege opens many connections of each kind, and measures how many connections the API holds and how
// long the requests of other callers take. It connects only over loopback to the API of this run. The
// limits on downloads are off, because they would leave nothing to measure. All lists are requested
// with one key, so the API refuses those above the rate limit of that key.
func (b *benchmark) besiege(ctx context.Context) ([]measure.Table, error) {
	if err := b.Restart(ctx, 1, "API_DOWNLOADS=0", "API_DOWNLOADS_PER_KEY=0", "API_REQUESTS_PER_SECOND=100"); err != nil {
		return nil, err
	}
	c, err := b.Client(ctx, b.moderate())
	if err != nil {
		return nil, err
	}
	e, _, err := c.Export(ctx, "json")
	if err != nil {
		return nil, err
	}
	tiny, err := b.Client(ctx, benchstack.Tiny)
	if err != nil {
		return nil, err
	}
	for range 100 { // enough exports for a full page of a list, which has about 60 KB
		if _, err := tiny.Create(ctx, "json"); err != nil {
			return nil, err
		}
	}
	title := fmt.Sprintf("A siege: %d connections that do nothing", b.besiegers)
	result := measure.Table{Title: title, Head: []string{"Kind", "held, most", "gone after s", "API MiB, idle", "at most", "kernel MiB, at most",
		"p50 ms, before", "during", "after", "p99 ms, before", "during", "after"},
		Note: "The times are those of other requests, for the status of an export. The kernel holds what clients have not taken; the buffers of this benchmark's own sockets are not counted."}
	over := measure.Table{Title: "Connections held and memory of the API in MiB, over time", Head: []string{"Kind"}}
	for _, m := range moments {
		over.Head = append(over.Head, fmt.Sprintf("%.0f s", m.Seconds()))
	}
	keys, err := b.Keys(ctx, b.moderate(), b.besiegers/100) // one key for every 100 connections, because the API refuses more than 500 requests at once with one key
	if err != nil {
		return nil, err
	}
	for _, s := range sieges(keys, tiny.Key, "/v1/exports/"+e.ID+"/download") {
		run, err := b.hold(ctx, c, "/v1/exports/"+e.ID, s)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		percentiles := func(p float64) []any {
			return []any{measure.Millis(measure.Percentile(run.before, p)), measure.Millis(measure.Percentile(run.during, p)), measure.Millis(measure.Percentile(run.after, p))}
		}
		row := []any{s.name, run.most.Open, measure.Fixed(run.gone.Seconds(), 0), measure.Mebibytes(run.idle), measure.Mebibytes(run.peak), measure.Mebibytes(run.most.Unread)}
		result.Add(append(append(row, percentiles(50)...), percentiles(99)...)...)
		cells := []any{s.name}
		for i := range moments {
			cell := "-"
			if i < len(run.held) {
				cell = fmt.Sprintf("%d / %s", run.held[i].Open, measure.Mebibytes(run.resident[i]))
			}
			cells = append(cells, cell)
		}
		over.Add(cells...)
		say("%s: at most %d held, gone after %s", s.name, run.most.Open, run.gone.Round(time.Second))
	}
	return []measure.Table{result, over}, nil
}

// hold runs one siege to its end.
func (b *benchmark) hold(ctx context.Context, c benchstack.Client, path string, s siege) (run course, err error) {
	u, err := url.Parse(b.BaseURL())
	if err != nil {
		return run, err
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		return run, err
	}
	normal := b.callNormally(ctx, c, path)
	time.Sleep(b.calm)
	if run.before, err = normal(); err != nil {
		return run, err
	}
	run.idle = measure.ResidentMemory(b.APIPID())
	base := measure.SocketsOf(port).Open

	normal = b.callNormally(ctx, c, path)
	began := time.Now()
	connections, err := open(ctx, u.Host, b.besiegers, s)
	defer func() {
		for _, connection := range connections {
			connection.Close()
		}
	}()
	if err != nil {
		return run, err
	}
	for tick := 0; ; tick++ {
		sockets, resident := measure.SocketsOf(port), measure.ResidentMemory(b.APIPID())
		sockets.Open = max(0, sockets.Open-base)
		run.most.Open, run.most.Unread, run.peak = max(run.most.Open, sockets.Open), max(run.most.Unread, sockets.Unread), max(run.peak, resident)
		run.gone = time.Since(began)
		for len(run.held) < len(moments) && moments[len(run.held)] <= run.gone {
			run.held, run.resident = append(run.held, sockets), append(run.resident, resident)
		}
		if tick > 0 && sockets.Open+sockets.Closed == 0 {
			break
		}
		if run.gone > siegeTimeout {
			say("%s: after %s the API still holds %d connections, and the kernel %d", s.name, siegeTimeout, sockets.Open, sockets.Closed)
			break
		}
		dripInto(connections, s.drip)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return run, ctx.Err()
		}
	}
	if run.during, err = normal(); err != nil {
		return run, err
	}
	normal = b.callNormally(ctx, c, path)
	time.Sleep(b.calm)
	run.after, err = normal()
	return run, err
}

// callNormally lets four clients make about 15 requests a second each, which is within the limit of
// their key. It measures until the caller calls stop, which returns how long each request took.
func (b *benchmark) callNormally(ctx context.Context, c benchstack.Client, path string) (stop func() ([]time.Duration, error)) {
	const callers = 4
	stopped := make(chan struct{})
	var mu sync.Mutex
	var calls []time.Duration
	group, ctx := errgroup.WithContext(ctx)
	for range callers {
		group.Go(func() error {
			for {
				start := time.Now()
				if err := c.Read(ctx, path); err != nil {
					return fmt.Errorf("a request of a normal caller: %w", err)
				}
				mu.Lock()
				calls = append(calls, time.Since(start))
				mu.Unlock()
				select {
				case <-stopped:
					return nil
				case <-time.After(60 * time.Millisecond):
				}
			}
		})
	}
	return func() ([]time.Duration, error) {
		close(stopped)
		err := group.Wait()
		return calls, err
	}
}

// open opens n connections that send s.first, and returns those that could be opened.
func open(ctx context.Context, address string, n int, s siege) (connections []net.Conn, err error) {
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(dialers)
	for i := range n {
		group.Go(func() error {
			first := s.first
			if len(s.keys) > 0 {
				first = strings.ReplaceAll(first, keyMark, s.keys[i%len(s.keys)])
			}
			connection, err := new(net.Dialer).DialContext(ctx, "tcp", address)
			if err != nil {
				return err
			}
			mu.Lock()
			connections = append(connections, connection)
			mu.Unlock()
			// Ignore errors: the server may stop reading, refuse the request or reset the connection at
			// any time, and the benchmark measures how it does that.
			_ = connection.(*net.TCPConn).SetReadBuffer(smallWindow)
			_ = connection.SetWriteDeadline(time.Now().Add(2 * time.Second))
			_, _ = connection.Write([]byte(first))
			return nil
		})
	}
	return connections, errors.Join(group.Wait(), ctx.Err())
}

// dripInto sends text on all connections. It does not wait for connections that accept no more bytes.
func dripInto(connections []net.Conn, text string) {
	if text == "" {
		return
	}
	for _, connection := range connections {
		_ = connection.SetWriteDeadline(time.Now().Add(time.Millisecond))
		_, _ = connection.Write([]byte(text)) // it fails if the API has closed the connection
	}
}
