//go:build downloads

package e2e

import (
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
)

// wire passes TCP connections on to the API and counts what it sends to the clients.
type wire struct {
	url    string
	target string

	mu          sync.Mutex
	sent        int64 // bytes towards the clients, headers included, since count
	connections int   // since count
	at          int64 // when sent gets there, then is called, once
	then        func() (goOn bool)
}

func newWire(t *testing.T, api string) *wire {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(api)
	if err != nil {
		t.Fatal(err)
	}
	p := &wire{url: "http://" + listener.Addr().String(), target: u.Host}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return // the test is over
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

// count starts the count anew, and has then called when at bytes have been sent. If it returns false,
// the connection that sent them is cut.
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
	p.mu.Unlock()
	api, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer api.Close()
	// What is under way is little, so that what happens at some byte happens to the server at about it.
	_ = api.(*net.TCPConn).SetReadBuffer(64 << 10)
	_ = client.SetWriteBuffer(64 << 10)
	go func() {
		_, _ = io.Copy(api, client)
		api.Close() // the client has gone
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

// add counts n bytes and reports whether the connection may go on.
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
