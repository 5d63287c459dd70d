package benchstack

import (
	"maps"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
)

// Requests counts the requests to a server by kind: "PUT", "GET", "HEAD", "LIST", "DELETE" and others.
type Requests struct {
	Address string // of the proxy that counts

	mu     sync.Mutex
	counts map[string]int
}

// Count starts a proxy that counts the requests to the server. stop stops the proxy.
func (s *S3) Count() (r *Requests, stop func()) {
	r = &Requests{counts: map[string]int{}}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(&url.URL{Scheme: "http", Host: s.server.Address})
			p.Out.Host = p.In.Host // the signature of the request covers the host
			kind := p.In.Method
			if p.In.URL.Query().Has("list-type") {
				kind = "LIST"
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			r.counts[kind]++
		},
	}
	server := httptest.NewServer(proxy)
	r.Address = server.Listener.Addr().String()
	return r, server.Close
}

// Take returns the counts since the last call.
func (r *Requests) Take() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := maps.Clone(r.counts)
	clear(r.counts)
	return taken
}
