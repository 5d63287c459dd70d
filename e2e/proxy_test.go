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

// proxy is what stands before the API: it sees what is asked and counts what is sent, and can hold a
// download back in the middle or spoil it.
type proxy struct {
	url string

	mu       sync.Mutex
	requests []*proxied
	limit    int64         // how many bytes of a download go through before it is held; -1 for all
	held     chan struct{} // closed when a download is held
	released chan struct{}
	spoil    bool          // turn a bit over in each download
	swallow  chan struct{} // if not nil, what says that the answer to a POST was swallowed
}

// proxied is a request with its answer.
type proxied struct {
	method, path, requestRange, ifRange, encoding string
	status                                        int
	sent                                          int64 // bytes of the body, as far as they were read from the API
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{limit: -1}
	reverse := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(u) },
		Transport:     &http.Transport{DisableCompression: true, DisableKeepAlives: true},
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0), // what breaks here is meant to
		ModifyResponse: func(r *http.Response) error {
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.swallow != nil && r.Request.Method == "POST" {
				close(p.swallow)
				p.swallow = nil
				panic(http.ErrAbortHandler)
			}
			seen := &proxied{r.Request.Method, r.Request.URL.Path, r.Request.Header.Get("Range"), r.Request.Header.Get("If-Range"),
				r.Request.Header.Get("Accept-Encoding"), r.StatusCode, 0}
			p.requests = append(p.requests, seen)
			r.Body = &proxiedBody{r.Body, r.Request, p, seen}
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

// hold lets n bytes of every download through, and returns a channel that says when one is held.
func (p *proxy) hold(n int64) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limit, p.held, p.released = n, make(chan struct{}), make(chan struct{})
	return p.held
}

// release lets everything through.
func (p *proxy) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.limit >= 0 {
		p.limit = -1
		close(p.released)
	}
}

// forget forgets the requests so far.
func (p *proxy) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = nil
}

// downloads are the GETs of files so far.
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

// creations are how many exports were asked for.
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

type proxiedBody struct {
	io.ReadCloser
	request *http.Request
	proxy   *proxy
	seen    *proxied
}

func (b *proxiedBody) Read(buffer []byte) (int, error) {
	p := b.proxy
	p.mu.Lock()
	left, held, released, spoil := p.limit-b.seen.sent, p.held, p.released, p.spoil
	download := p.limit >= 0 && b.seen.method == "GET" && strings.HasSuffix(b.seen.path, "/download")
	p.mu.Unlock()
	if download && left <= 0 {
		p.mu.Lock()
		select {
		case <-held:
		default:
			close(held)
		}
		p.mu.Unlock()
		select {
		case <-released:
		case <-b.request.Context().Done(): // the client is gone
			return 0, b.request.Context().Err()
		}
	} else if download {
		buffer = buffer[:min(int64(len(buffer)), left)]
	}
	n, err := b.ReadCloser.Read(buffer)
	if spoil && n > 0 && strings.HasSuffix(b.seen.path, "/download") {
		buffer[0] ^= 1
	}
	p.mu.Lock()
	b.seen.sent += int64(n)
	p.mu.Unlock()
	return n, err
}
