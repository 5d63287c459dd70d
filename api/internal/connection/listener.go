// Package connection bounds what a client can hold of a server by doing nothing: a connection whose
// client does not read what is sent to it, and the number of connections.
//
// net/http limits how long it reads a request. It has one time limit for writing a response, which
// suits no download: here the limit starts anew whenever bytes flow.
package connection

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// Limits bound the connections of a listener.
type Limits struct {
	// Stall is how long a client has to take the next 64 KiB of a response. After that the connection is
	// reset. It must not be 0.
	Stall time.Duration
	// Max is how many connections may be open at once. Further ones are reset at once. 0 means any number.
	Max int
	// MaxPerAddress is the same for each IP address of clients. 0 means any number.
	MaxPerAddress int
	// Refused is called, at most once a minute, with how many connections were reset because of Max or
	// MaxPerAddress since the last call.
	Refused func(n int)
}

// Listen returns l with limits. Its connections must be TCP connections or wrap such, without TLS.
func Listen(l net.Listener, limits Limits) net.Listener {
	return &listener{Listener: l, limits: limits, byAddress: map[netip.Addr]int{}}
}

type listener struct {
	net.Listener
	limits Limits

	mu        sync.Mutex
	open      int
	byAddress map[netip.Addr]int

	refused  int       // since Refused was last called; only Accept uses it
	reported time.Time // when Refused was last called
}

// Accept returns the next connection that is within the limits.
func (l *listener) Accept() (net.Conn, error) {
	for {
		inner, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		address := addressOf(inner)
		if !l.add(address) {
			Reset(inner)
			l.report()
			continue
		}
		limitBuffer(inner)
		return &conn{Conn: inner, stall: l.limits.Stall, closed: sync.OnceFunc(func() { l.remove(address) })}, nil
	}
}

// report counts a connection that was refused.
func (l *listener) report() {
	l.refused++
	if now := time.Now(); l.limits.Refused != nil && now.Sub(l.reported) > time.Minute {
		l.limits.Refused(l.refused)
		l.refused, l.reported = 0, now
	}
}

// add counts a connection from address, unless that would exceed a limit.
func (l *listener) add(address netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.limits.Max > 0 && l.open >= l.limits.Max || l.limits.MaxPerAddress > 0 && l.byAddress[address] >= l.limits.MaxPerAddress {
		return false
	}
	l.open++
	l.byAddress[address]++
	return true
}

func (l *listener) remove(address netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.byAddress[address]--; l.byAddress[address] == 0 {
		delete(l.byAddress, address)
	}
}

// addressOf returns the IP address of a client, or the zero Addr if the connection has none.
func addressOf(c net.Conn) netip.Addr {
	address, _ := netip.ParseAddrPort(c.RemoteAddr().String())
	return address.Addr().Unmap()
}
