//go:build downloads

package e2e

import (
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
)

// wire is a TCP proxy in front of the API. It counts the bytes that the API sends to clients.
type wire struct {
	url string

	mu          sync.Mutex
	target      string // host:port of the API
	sent        int64  // bytes sent to clients since count was called, including headers
	connections int    // connections since count was called
	at          int64  // when sent reaches this value, the proxy calls the function `then` once
	then        func() (goOn bool)
}

func newWire(t *testing.T, api string) *wire {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &wire{url: "http://" + listener.Addr().String()}
	p.pointTo(t, api)
	var group sync.WaitGroup
	group.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return // the test has ended
			}
			group.Go(func() { p.pass(client.(*net.TCPConn)) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		group.Wait()
	})
	return p
}

// pointTo makes the proxy forward new connections to another API process.
func (p *wire) pointTo(t *testing.T, api string) {
	t.Helper()
	u, err := url.Parse(api)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = u.Host
}

// count sets the counters to 0. Once `at` bytes have been sent, the proxy calls `then`, if it is not nil. If
// `then` returns false, the proxy cuts the connection over which it sent the last bytes.
func (p *wire) count(at int64, then func() (goOn bool)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent, p.connections, p.at, p.then = 0, 0, at, then
}

func (p *wire) counted() (sent int64, connections int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent, p.connections
}

func (p *wire) pass(client *net.TCPConn) {
	defer client.Close()
	p.mu.Lock()
	p.connections++
	target := p.target
	p.mu.Unlock()
	api, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer api.Close()
	// With small buffers, the API cannot send much more than the proxy has counted.
	_ = api.(*net.TCPConn).SetReadBuffer(64 << 10)
	_ = client.SetWriteBuffer(64 << 10)
	go func() {
		_, _ = io.Copy(api, client)
		api.Close() // the client has closed its connection
	}()
	buffer := make([]byte, 16<<10)
	for {
		n, err := api.Read(buffer)
		if n > 0 {
			if _, err := client.Write(buffer[:n]); err != nil {
				return
			}
			if !p.add(n) {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// add adds n to sent. It reports whether the connection should stay open.
func (p *wire) add(n int) bool {
	p.mu.Lock()
	p.sent += int64(n)
	then := p.then
	if then == nil || p.sent < p.at {
		p.mu.Unlock()
		return true
	}
	p.then = nil
	p.mu.Unlock()
	return then()
}
