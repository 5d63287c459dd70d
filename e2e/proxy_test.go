package e2e

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// proxy is an HTTP proxy between a client and the API. It records the requests and counts the bytes
// of the responses. It can pause downloads, corrupt them, or drop a response.
type proxy struct {
	url string

	mu       sync.Mutex
	target   *url.URL
	requests []*proxied
	limit    int64         // each download is paused after this many bytes; -1 for no limit
	held     chan struct{} // closed when a download is paused
	released chan struct{} // closed when paused downloads may continue
	damage   bool          // whether to flip a bit in each piece of a download
	swallow  chan struct{} // if not nil, drop the response to the next POST and then close this channel
}

// proxied is a request, with the status and the size of its response.
type proxied struct {
	method, path, requestRange, ifRange, encoding string
	status                                        int
	sent                                          int64 // bytes of the response body that were read from the API
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	p := &proxy{limit: -1}
	p.pointTo(t, target)
	reverse := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			p.mu.Lock()
			defer p.mu.Unlock()
			r.SetURL(p.target)
		},
		Transport:     &http.Transport{DisableCompression: true, DisableKeepAlives: true},
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0), // the tests break connections on purpose
		ModifyResponse: func(r *http.Response) error {
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.swallow != nil && r.Request.Method == "POST" {
				close(p.swallow)
				p.swallow = nil
				panic(http.ErrAbortHandler)
			}
			header := r.Request.Header
			seen := &proxied{method: r.Request.Method, path: r.Request.URL.Path, requestRange: header.Get("Range"),
				ifRange: header.Get("If-Range"), encoding: header.Get("Accept-Encoding"), status: r.StatusCode}
			p.requests = append(p.requests, seen)
			r.Body = &proxiedBody{ReadCloser: r.Body, request: r.Request, proxy: p, seen: seen}
			return nil
		},
	}
	server := httptest.NewServer(reverse)
	t.Cleanup(func() {
		p.release()
		server.CloseClientConnections()
		server.Close()
	})
	p.url = server.URL
	return p
}

// pointTo makes the proxy forward requests to another API process.
func (p *proxy) pointTo(t *testing.T, target string) {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = u
}

// damageDownloads makes the proxy flip a bit in each piece of a download.
func (p *proxy) damageDownloads() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.damage = true
}

// passDownloads makes the proxy pass downloads on as they are.
func (p *proxy) passDownloads() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.damage = false
}

// swallowNextPost makes the proxy drop the response to the next POST. The returned channel is
// closed when the proxy has dropped it.
func (p *proxy) swallowNextPost() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.swallow = make(chan struct{})
	return p.swallow
}

// hold pauses every download after n bytes, until release is called. The returned channel is closed
// when the first download is paused.
func (p *proxy) hold(n int64) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limit, p.held, p.released = n, make(chan struct{}), make(chan struct{})
	return p.held
}

// release lets paused downloads continue. Later downloads are not paused.
func (p *proxy) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.limit >= 0 {
		p.limit = -1
		close(p.released)
	}
}

// forget clears the recorded requests.
func (p *proxy) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = nil
}

// downloads returns the download requests since forget was called.
func (p *proxy) downloads() (found []proxied) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.requests {
		if r.method == "GET" && strings.HasSuffix(r.path, "/download") {
			found = append(found, *r)
		}
	}
	return found
}

// creations returns the number of POST requests since forget was called.
func (p *proxy) creations() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.requests {
		if r.method == "POST" {
			n++
		}
	}
	return n
}

// proxiedBody is the body of a response. Read pauses and damages the body as the proxy's fields
// say.
type proxiedBody struct {
	io.ReadCloser
	request *http.Request
	proxy   *proxy
	seen    *proxied
}

func (b *proxiedBody) Read(buffer []byte) (int, error) {
	p := b.proxy
	p.mu.Lock()
	left, held, released, damage := p.limit-b.seen.sent, p.held, p.released, p.damage
	limited := p.limit >= 0 && b.seen.method == "GET" && strings.HasSuffix(b.seen.path, "/download")
	p.mu.Unlock()
	if limited && left <= 0 {
		p.mu.Lock()
		select {
		case <-held:
		default:
			close(held)
		}
		p.mu.Unlock()
		select {
		case <-released:
		case <-b.request.Context().Done(): // the client has closed its connection
			return 0, b.request.Context().Err()
		}
	} else if limited {
		buffer = buffer[:min(int64(len(buffer)), left)]
	}
	n, err := b.ReadCloser.Read(buffer)
	if damage && n > 0 && strings.HasSuffix(b.seen.path, "/download") {
		buffer[0] ^= 1
	}
	p.mu.Lock()
	b.seen.sent += int64(n)
	p.mu.Unlock()
	return n, err
}
