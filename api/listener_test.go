package api_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"memexport/api"
)

func TestWhatNeverReachesAHandlerIsAProblemToo(t *testing.T) {
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.NotFoundHandler(), MaxHeaderBytes: 64 << 10}
	go server.Serve(api.Listener(plain)) //nolint:errcheck // it ends with the test
	t.Cleanup(func() { server.Close() })

	const post = "POST /v1/exports?user_id="
	for name, c := range map[string]struct {
		request string
		status  int
		code    string
	}{
		"a URL of 10 MB":      {post + strings.Repeat("u", 10<<20) + " HTTP/1.1\r\nHost: x\r\n\r\n", 431, "HEADERS_TOO_LARGE"},
		"no HTTP":             {"hello\r\n\r\n", 400, "MALFORMED_REQUEST"},
		"no host":             {post + "u HTTP/1.1\r\n\r\n", 400, "MALFORMED_REQUEST"},
		"an unknown encoding": {post + "u HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: zip\r\n\r\n", 501, "MALFORMED_REQUEST"},
	} {
		t.Run(name, func(t *testing.T) {
			c2, err := net.Dial("tcp", plain.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c2.Close()
			if err := c2.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			go io.WriteString(c2, c.request) //nolint:errcheck // the server stops reading it
			response, err := http.ReadResponse(bufio.NewReader(c2), nil)
			if err != nil {
				t.Fatal(err)
			}
			var problem api.Problem
			if err := json.NewDecoder(response.Body).Decode(&problem); err != nil {
				t.Fatal(err)
			}
			if response.StatusCode != c.status || problem.Status != c.status || problem.Code != c.code {
				t.Errorf("the answer is %s, %+v", response.Status, problem)
			}
			if got := response.Header.Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("its type is %q", got)
			}
		})
	}
}
