package api

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// clientAddress returns the IP address of the client. Usually this is the peer address of the connection.
// If the peer is a trusted proxy, clientAddress returns the last address in X-Forwarded-For that does not
// belong to a trusted proxy. Earlier addresses in that header cannot be trusted, because the client may
// have sent them. If the connection has no IP address, clientAddress returns the zero value.
func clientAddress(r *http.Request, trusted []netip.Prefix) netip.Addr {
	address := parseAddress(r.RemoteAddr)
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		if !slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(address) }) {
			break
		}
		forwarded := parseAddress(strings.TrimSpace(hop))
		if !forwarded.IsValid() {
			break // the proxy added no valid address, so return the address of the proxy
		}
		address = forwarded
	}
	return address
}

// parseAddress parses an IP address with or without a port. It returns the zero value for other text.
func parseAddress(text string) netip.Addr {
	address, err := netip.ParseAddr(text)
	if err != nil {
		withPort, _ := netip.ParseAddrPort(text)
		address = withPort.Addr()
	}
	return address.Unmap().WithZone("")
}
