// Package connection limits what idle clients can cost a server. It limits the number of connections, and
// it ends connections whose client does not read what the server sends.
//
// net/http can limit the time for reading a request and the total time for writing a response. A total
// time does not suit downloads, which may be long. In this package the time limit starts anew whenever the
// client has accepted data.
package connection

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"memexport/internal/service/metrics"
)

// Limits bound the connections of a listener.
type Limits struct {
	// Stall is how long a client may take to accept the next 64 KiB of a response. After that, the
	// connection is reset. Stall must not be 0.
	Stall time.Duration
	// Max is how many connections may be open at once. Connections beyond that are reset at once. 0 means
	// any number.
	Max int
	// MaxPerAddress is how many connections may be open at once from one IP address. 0 means any number.
	MaxPerAddress int
	// Refused is called with the number of connections that were reset because of Max or MaxPerAddress
	// since the last call. It is called at most once a minute.
	Refused func(n int)
}

// Listen returns a listener that accepts the connections of l within the limits. The connections of l must
// be TCP connections or wrappers of TCP connections, without TLS.
func Listen(l net.Listener, limits Limits) net.Listener {
	return &listener{Listener: l, limits: limits, byAddress: map[netip.Prefix]int{}}
}

type listener struct {
	net.Listener
	limits Limits

	mu        sync.Mutex
	open      int
	byAddress map[netip.Prefix]int

	refused  int       // connections refused since Refused was last called; only Accept uses this field
	reported time.Time // when Refused was last called
}

// Accept returns the next connection that is within the limits. It resets the others.
func (l *listener) Accept() (net.Conn, error) {
	for {
		inner, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		network := NetworkOf(addressOf(inner))
		if !l.add(network) {
			Reset(inner)
			l.report()
			continue
		}
		limitBuffer(inner)
		return &conn{Conn: inner, stall: l.limits.Stall, closed: sync.OnceFunc(func() { l.remove(network) })}, nil
	}
}

// report counts a refused connection, and calls Limits.Refused if the last call was more than a minute
// ago.
func (l *listener) report() {
	metrics.LimitsHit.Add(context.Background(), 1, metrics.LimitConnections)
	l.refused++
	if now := time.Now(); l.limits.Refused != nil && now.Sub(l.reported) > time.Minute {
		l.limits.Refused(l.refused)
		l.refused, l.reported = 0, now
	}
}

// add counts an open connection from network and returns true. If the connection would exceed a limit, add
// returns false and does not count it.
func (l *listener) add(network netip.Prefix) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.limits.Max > 0 && l.open >= l.limits.Max || l.limits.MaxPerAddress > 0 && l.byAddress[network] >= l.limits.MaxPerAddress {
		return false
	}
	l.open++
	l.byAddress[network]++
	return true
}

func (l *listener) remove(network netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.byAddress[network]--; l.byAddress[network] == 0 {
		delete(l.byAddress, network)
	}
}

// addressOf returns the IP address of the client, or the zero Addr if the connection has no IP address.
func addressOf(c net.Conn) netip.Addr {
	address, _ := netip.ParseAddrPort(c.RemoteAddr().String())
	return address.Addr().Unmap()
}

// NetworkOf returns the network that counts as one address for limits: a single IPv4 address, or the /64 of an
// IPv6 address, because every customer of a provider has at least a /64. For the zero Addr it returns the zero
// Prefix.
func NetworkOf(address netip.Addr) netip.Prefix {
	bits := address.BitLen()
	if address.Is6() {
		bits = 64
	}
	network, _ := address.Prefix(bits) // the only error is for the zero Addr
	return network
}
