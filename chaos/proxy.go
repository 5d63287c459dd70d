package main

import (
	"net"
	"sync"
	"time"
)

// mode is what a proxy does with connections.
type mode int

const (
	pass  mode = iota
	cut        // closes connections, and refuses new ones
	slow       // delays data, and limits its rate
	crawl      // limits the rate so much that a large export takes a minute
	hang       // passes nothing on, but keeps connections open
)

const (
	slowDelay = 30 * time.Millisecond
	slowRate  = 1 << 20   // bytes per second and direction of a connection
	crawlRate = 256 << 10 // the same for crawl
)

// proxy forwards TCP connections to a server and disturbs them.
type proxy struct {
	address  string
	target   string
	listener net.Listener

	mu      sync.Mutex
	mode    mode
	changed chan struct{} // closed when mode changes
	open    map[net.Conn]struct{}
}

func newProxy(target string) (*proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{address: listener.Addr().String(), target: target, listener: listener, changed: make(chan struct{}), open: map[net.Conn]struct{}{}}
	go p.serve()
	return p, nil
}

func (p *proxy) close() {
	p.listener.Close()
	p.drop()
}

// set changes the mode, also for open connections.
func (p *proxy) set(m mode) {
	p.mu.Lock()
	p.mode = m
	close(p.changed)
	p.changed = make(chan struct{})
	p.mu.Unlock()
	if m == cut {
		p.drop()
	}
}

// drop closes all connections.
func (p *proxy) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		c.Close()
	}
}

func (p *proxy) current() (mode, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mode, p.changed
}

func (p *proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		go p.forward(client)
	}
}

// forward copies in both directions until one side closes.
func (p *proxy) forward(client net.Conn) {
	defer client.Close()
	if m, _ := p.current(); m == cut {
		return
	}
	if !p.wait(0) {
		return
	}
	server, err := net.DialTimeout("tcp", p.target, 5*time.Second)
	if err != nil {
		return
	}
	defer server.Close()
	p.mu.Lock()
	p.open[client], p.open[server] = struct{}{}, struct{}{}
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.open, client)
		delete(p.open, server)
	}()
	done := make(chan struct{}, 2)
	pump := func(to, from net.Conn) {
		defer func() { done <- struct{}{} }()
		buffer := make([]byte, 32<<10)
		for {
			n, err := from.Read(buffer)
			if n > 0 {
				if !p.wait(n) {
					return
				}
				if _, err := to.Write(buffer[:n]); err != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
	}
	go pump(server, client)
	go pump(client, server)
	<-done
}

// wait delays n bytes as the mode demands. It returns false if the connection must be closed.
func (p *proxy) wait(n int) bool {
	for {
		m, changed := p.current()
		switch m {
		case pass:
			return true
		case cut:
			return false
		case slow, crawl:
			rate := slowRate
			if m == crawl {
				rate = crawlRate
			}
			select {
			case <-time.After(slowDelay + time.Duration(n)*time.Second/time.Duration(rate)):
			case <-changed:
			}
			return true
		case hang:
			<-changed
		}
	}
}
