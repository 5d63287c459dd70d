package api_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"memexport/api"
	"memexport/internal/service/format"
	"memexport/internal/service/memory"
)

// dial opens a connection to the service, over which a test can send requests that http.Client would not
// send.
func (s *service) dial(t *testing.T) net.Conn {
	t.Helper()
	connection, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	if err := connection.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return connection
}

// commonHeaders are the headers that every answer must have.
var commonHeaders = map[string]string{"X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin", "Referrer-Policy": "no-referrer"}

func checkCommonHeaders(t *testing.T, what string, h http.Header) {
	t.Helper()
	for name, want := range commonHeaders {
		if got := h.Get(name); got != want {
			t.Errorf("%s: %s: %q, want %q", what, name, got, want)
		}
	}
	if h.Get("X-Request-Id") == "" {
		t.Errorf("%s: the answer has no X-Request-Id", what)
	}
}

func TestARequestThatReachesNoHandlerIsAnsweredWithAProblem(t *testing.T) {
	t.Parallel()
	s := newService(t)
	const post = "POST /v1/exports?user_id="
	for name, c := range map[string]struct {
		request string
		status  int
		code    string
	}{
		"a URL of 10 MB":         {post + strings.Repeat("u", 10<<20) + " HTTP/1.1\r\nHost: x\r\n\r\n", 431, "HEADERS_TOO_LARGE"},
		"not HTTP":               {"hello\r\n\r\n", 400, "MALFORMED_REQUEST"},
		"no host":                {post + "u HTTP/1.1\r\n\r\n", 400, "MALFORMED_REQUEST"},
		"an unknown encoding":    {post + "u HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: zip\r\n\r\n", 501, "MALFORMED_REQUEST"},
		"an unknown version":     {post + "u HTTP/9.9\r\nHost: x\r\n\r\n", 505, "MALFORMED_REQUEST"},
		"an unknown expectation": {post + "u HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\n\r\n", 417, "MALFORMED_REQUEST"},
		"after another request":  {"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nhello\r\n\r\n", 400, "MALFORMED_REQUEST"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			connection := s.dial(t)
			go io.WriteString(connection, c.request) //nolint:errcheck // the server may stop reading the request
			reader := bufio.NewReader(connection)
			response, err := http.ReadResponse(reader, nil)
			if err == nil && response.StatusCode == http.StatusOK { // this is the first of two answers
				if _, err := io.Copy(io.Discard, response.Body); err != nil {
					t.Fatal(err)
				}
				response, err = http.ReadResponse(reader, nil)
			}
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			var problem api.Problem
			if err := json.Unmarshal(body, &problem); err != nil {
				t.Fatal(err)
			}
			if response.StatusCode != c.status || problem.Status != c.status || problem.Code != c.code || problem.Title == "" || problem.Detail == "" {
				t.Errorf("the answer is %s, %+v", response.Status, problem)
			}
			s.log.await(t, "request_id="+response.Header.Get("X-Request-Id"))
			for header, want := range map[string]string{"Content-Type": "application/problem+json", "Cache-Control": "no-store"} {
				if got := response.Header.Get(header); got != want {
					t.Errorf("%s: %q, want %q", header, got, want)
				}
			}
			checkCommonHeaders(t, name, response.Header)
			if rest, err := io.ReadAll(reader); err != nil || len(rest) > 0 || !response.Close {
				t.Errorf("after the answer come %q, %v", rest, err)
			}
		})
	}
}

// In this test, the text of a memory consists of many copies of what net/http writes when it refuses a
// request. Each copy has 79 bytes, which shares no factor with the size of the server's writes. So one of
// the writes begins exactly where a copy begins.
func TestAMemoryThatLooksLikeARefusalIsDownloadedAsItIs(t *testing.T) {
	t.Parallel()
	s := newService(t)
	refusal := "HTTP/1.1 400 x\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
	text := strings.Repeat(refusal+".", 3_400_000/(len(refusal)+1))
	for _, f := range format.All {
		m := memory.Memory{ID: []byte("0198b9d1-52e7-7a31-8c44-6f0d2b9e1a57"), Text: []byte(text), Priority: []byte("LOW"),
			Status: []byte("COMPLETED"), Categories: []byte("[]"), WorkspaceID: []byte(s.workspace)}
		encoder := f.NewEncoder()
		part, _, err := encoder.Finish(encoder.Append(nil, &m))
		if err != nil {
			t.Fatal(err)
		}
		e, file := s.publish(t, f.Name, time.Hour, string(part))
		for range 2 { // send two requests on one connection
			a := s.do(t, "GET", "/v1/exports/"+e.ID+"/download").status(t, 200)
			if a.err != nil || string(a.body) != file {
				t.Errorf("%s: %d bytes, want %d: %v", f.Name, len(a.body), len(file), a.err)
			}
		}
	}
}

func TestTheConnectionIsClosedAfterARequestWithATransferEncoding(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for _, c := range []struct {
		headers string
		closed  bool
	}{
		{"Content-Length: 2\r\n\r\n{}", false},
		{"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", true},
		{"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", true},
	} {
		connection := s.dial(t)
		fmt.Fprintf(connection, "POST /v1/exports HTTP/1.1\r\nHost: x\r\nX-Api-Key: %s\r\n%s", s.key, c.headers)
		response, err := http.ReadResponse(bufio.NewReader(connection), nil)
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != 202 || response.Close != c.closed {
			t.Errorf("%q is answered with %s, closed: %t", c.headers, response.Status, response.Close)
		}
	}
}
