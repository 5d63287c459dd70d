package refusal_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"memexport/api/internal/refusal"
)

// start serves handler until the test ends and returns the address. Each function in wrap wraps the
// listener. The answer to a refused request is the word "refused".
func start(tb testing.TB, handler http.HandlerFunc, wrap ...func(net.Listener) net.Listener) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	for _, w := range wrap {
		l = w(l)
	}
	server := &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)}
	go refusal.Serve(server, l, func(w http.ResponseWriter, status int) { //nolint:errcheck // Serve returns when the test ends
		w.Header().Set("X-Refused", "yes")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "refused")
	})
	tb.Cleanup(func() { server.Close() })
	return l.Addr().String()
}

// send opens a connection and sends text on it.
func send(tb testing.TB, address, text string) (net.Conn, *bufio.Reader) {
	tb.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		tb.Fatal(err)
	}
	if _, err := io.WriteString(c, text); err != nil {
		tb.Fatal(err)
	}
	return c, bufio.NewReader(c)
}

// receive reads one response with its body.
func receive(tb testing.TB, r *bufio.Reader) (*http.Response, []byte) {
	tb.Helper()
	response, err := http.ReadResponse(r, nil)
	if err != nil {
		tb.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return response, body
}

const (
	get      = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	badInput = "hello\r\n\r\n"
	// plainRefusal is what net/http writes when it refuses a request.
	plainRefusal = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request"
)

// FuzzABodyArrivesAsItWasWritten sends a response body twice over one connection. Handlers write the body
// in pieces that the fuzzer chooses. After that, the test sends a request that net/http refuses. Fuzz it
// with -fuzzminimizetime 10x: coverage varies with timing, so minimizing would not end by itself.
func FuzzABodyArrivesAsItWasWritten(f *testing.F) {
	body, cuts, length := make(chan []byte, 2), make(chan []byte, 2), make(chan bool, 2)
	address := start(f, func(w http.ResponseWriter, _ *http.Request) {
		body, cuts := <-body, <-cuts
		if <-length {
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		}
		for _, cut := range cuts { // cut is the length of the next piece; if it is odd, flush after the piece
			n := min(int(cut), len(body))
			_, _ = w.Write(body[:n])
			if body = body[n:]; cut%2 == 1 {
				_ = http.NewResponseController(w).Flush()
			}
		}
		_, _ = io.Copy(w, struct{ io.Reader }{bytes.NewReader(body)}) // io.Copy writes large pieces
	})
	f.Add([]byte(""), []byte{}, true)
	f.Add([]byte(plainRefusal), []byte{}, true)
	f.Add([]byte(plainRefusal), []byte{1, 25, 44}, false)
	f.Add([]byte("x"+plainRefusal), []byte{1}, true)
	f.Add([]byte(strings.Repeat(plainRefusal, 500)), []byte{255, 254, 253}, true)
	f.Add([]byte("HTTP/1.1 417 Expectation Failed\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"), []byte{0, 1}, false)
	f.Fuzz(func(t *testing.T, sent, splits []byte, withLength bool) {
		for range 2 {
			body <- sent
			cuts <- splits
			length <- withLength
		}
		_, reader := send(t, address, get+get+badInput)
		for range 2 {
			if response, got := receive(t, reader); response.StatusCode != http.StatusOK || !bytes.Equal(got, sent) {
				t.Fatalf("%s with %d bytes, want the %d that were written", response.Status, len(got), len(sent))
			}
		}
		if response, got := receive(t, reader); response.StatusCode != http.StatusBadRequest || string(got) != "refused" {
			t.Fatalf("the bad request is answered with %s and %q", response.Status, got)
		}
	})
}

func TestARefusedRequestGetsTheAnswerOfTheServer(t *testing.T) {
	address := start(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "handled") })
	for request, status := range map[string]int{
		badInput: 400,
		"GET / HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\n\r\n":                          417,
		"GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 2<<20) + "\r\n\r\n":     431,
		"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: zip\r\n\r\n":                    501,
		"GET / HTTP/9.9\r\nHost: x\r\n\r\n":                                              505,
		"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n":    400,
		"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n": 200,
		"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n":                                          200,
	} {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		go io.WriteString(c, request) //nolint:errcheck // the server may stop reading
		response, body := receive(t, bufio.NewReader(c))
		want := "refused"
		if status == 200 {
			want = "handled"
		}
		if response.StatusCode != status || string(body) != want || response.Header.Get("X-Refused") == "yes" != (want == "refused") {
			t.Errorf("%.60q: %s, %q", request, response.Status, body)
		}
		c.Close()
	}
}

func TestAHijackedConnectionIsLeftAlone(t *testing.T) {
	address := start(t, func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(c, plainRefusal)
		c.Close()
	})
	_, reader := send(t, address, get)
	if got, err := io.ReadAll(reader); err != nil || string(got) != plainRefusal {
		t.Errorf("%q, %v", got, err)
	}
}

// notingConn notes that CloseWrite was called.
type notingConn struct {
	net.Conn
	closed chan struct{}
}

func (c notingConn) CloseWrite() error {
	close(c.closed)
	return c.Conn.(*net.TCPConn).CloseWrite()
}

type notingListener struct {
	net.Listener
	closed chan struct{}
}

func (l notingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return notingConn{Conn: c, closed: l.closed}, err
}

// If the connection were closed completely at once, a client that is still sending could lose the answer.
func TestTheConnectionIsClosedForWritingFirst(t *testing.T) {
	closed := make(chan struct{})
	address := start(t, nil, func(l net.Listener) net.Listener { return notingListener{Listener: l, closed: closed} })
	c, reader := send(t, address, "GET / HTTP/1.1\r\n")
	go io.Copy(c, strings.NewReader("X: "+strings.Repeat("x", 8<<20))) //nolint:errcheck // the server stops reading
	if response, body := receive(t, reader); response.StatusCode != 431 || string(body) != "refused" {
		t.Errorf("%s, %q", response.Status, body)
	}
	select {
	case <-closed:
	case <-time.After(20 * time.Second):
		t.Error("the connection was not closed for writing")
	}
}
