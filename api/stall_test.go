package api_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"memexport/api"
	"memexport/openapi"
)

// short sets limits so low that a test sees within seconds what happens to a client that does nothing.
func short(o *api.Options) {
	o.Limits.ReadHeader, o.Limits.ReadRequest = time.Second, time.Second
	o.Limits.Idle, o.Limits.Stall = time.Second, time.Second
}

// awaitGone sends drip repeatedly until the server has closed the connection. It does not read.
func awaitGone(t *testing.T, c net.Conn, drip string) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for time.Now().Before(deadline) {
		if drip == "" {
			_ = c.SetReadDeadline(deadline)
			if _, err := io.Copy(io.Discard, c); err == nil || !strings.Contains(err.Error(), "timeout") {
				return
			}
			break
		}
		if _, err := io.WriteString(c, drip); err != nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Error("the server keeps the connection")
}

func TestAConnectionThatMakesNoProgressIsClosed(t *testing.T) {
	t.Parallel()
	s := newService(t, short)
	ready, _ := s.publish(t, "json", time.Hour, strings.Repeat("x", 8<<20))
	get := func(path string) string {
		return fmt.Sprintf("GET %s HTTP/1.1\r\nHost: x\r\nX-Api-Key: %s\r\n\r\n", path, s.key)
	}
	for name, c := range map[string]struct{ request, drip string }{
		"silent":                      {"", ""},
		"silent after a request":      {get("/healthz"), ""},
		"headers that never end":      {"GET /healthz HTTP/1.1\r\n", "X: y\r\n"},
		"a body that never ends":      {"POST /v1/exports HTTP/1.1\r\nHost: x\r\nX-Api-Key: " + s.key + "\r\nContent-Length: 1000000\r\n\r\n", " "},
		"a body without a key":        {"POST /v1/exports HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n", " "},
		"a long body that never ends": {"POST /v1/exports HTTP/1.1\r\nHost: x\r\nX-Api-Key: " + s.key + "\r\nContent-Length: 200000\r\n\r\n" + strings.Repeat(" ", 70_000), " "},
		"docs that are not read":      {get("/docs/" + openapi.DocsComponentName), "\r\n"},
		"a download that is not read": {get("/v1/exports/" + ready.ID + "/download"), "\r\n"},
		"lists that are not read":     {strings.Repeat(get("/openapi.json"), 50) + strings.Repeat(get("/v1/exports"), 100), "\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			connection, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer connection.Close()
			if _, err := io.WriteString(connection, c.request); err != nil {
				t.Fatal(err)
			}
			awaitGone(t, connection, c.drip)
		})
	}
}

func TestADownloadOfASlowClientTakesLongerThanTheLimit(t *testing.T) {
	t.Parallel()
	s := newService(t, short)
	e, file := s.publish(t, "json", time.Hour, strings.Repeat("x", 4<<20))
	request, err := http.NewRequestWithContext(t.Context(), "GET", s.url+"/v1/exports/"+e.ID+"/download", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Api-Key", s.key)
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var got strings.Builder
	start := time.Now()
	for {
		_, err := io.CopyN(&got, response.Body, 32<<10)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if took := time.Since(start); got.String() != file || took < 2*time.Second {
		t.Errorf("%d of %d bytes after %s", got.Len(), len(file), took)
	}
}

func TestConnectionsBeyondTheLimitAreResetAndLogged(t *testing.T) {
	t.Parallel()
	s := newService(t, func(o *api.Options) { o.Limits.Connections = 1 })
	fmt.Fprint(s.dial(t), "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
	s.log.await(t, "route=\"GET /healthz\" status=200")
	second, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err == nil {
		defer second.Close()
		_ = second.SetDeadline(time.Now().Add(20 * time.Second))
		_, err = second.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the second connection sees %v, want a reset", err)
	}
	s.log.await(t, "raise API_CONNECTIONS")
}
