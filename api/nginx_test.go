//go:build downloads

package api_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"memexport/api"
)

// nginxConfig makes nginx buffer at most 4 MB of a response. The default is 1 GB.
const nginxConfig = `
daemon off;
master_process off;
pid %[1]s/pid;
error_log %[1]s/error.log;
events { worker_connections 64; }
http {
	access_log off;
	client_body_temp_path %[1]s/client_body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	proxy_http_version 1.1;
	proxy_max_temp_file_size 4m;
	server {
		listen %[2]s sndbuf=32k;
		location / { proxy_pass %[3]s; }
		location /buffered/ {
			proxy_ignore_headers X-Accel-Buffering;
			proxy_pass %[3]s/;
		}
	}
}
`

// With buffering, nginx reads from the API until its buffer is full. It reads again only when the client
// has read the whole buffer. If the client needs longer than Limits.Stall for that, the API ends the
// download.
func TestDownloadsThroughNginxReachASlowClient(t *testing.T) {
	s := newService(t, func(o *api.Options) { o.Limits.Stall = 3 * time.Second })
	e, file := s.publish(t, "json", time.Hour, strings.Repeat("0123456789", 2<<20))
	path, url := "/v1/exports/"+e.ID+"/download", startNginx(t, s.url)
	if n, err := s.readSlowly(t, url+path, file); err != nil {
		t.Errorf("the download breaks off after %d bytes: %v", n, err)
	}
	// With buffering, the same download must break off. If it succeeds, the client is not slow enough,
	// and the first download has proved nothing.
	n, err := s.readSlowly(t, url+"/buffered"+path, file)
	t.Logf("without X-Accel-Buffering the download breaks off after %d bytes: %v", n, err)
	if err == nil {
		t.Error("nginx passes a download on although it buffers it")
	}
}

// readSlowly reads 8 MB in 16 seconds and compares them with the file. It returns how many bytes it read.
func (s *service) readSlowly(t *testing.T, url, file string) (n int, err error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Api-Key", s.key)
	request.Header.Set("Accept-Encoding", "identity")
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		if err == nil {
			err = c.(*net.TCPConn).SetReadBuffer(64 << 10) // keep the kernel's buffer small, so that nginx has to wait
		}
		return c, err
	}
	response, err := (&http.Transport{DialContext: dial, DisableKeepAlives: true, DisableCompression: true}).RoundTrip(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if response.StatusCode != 200 || response.ContentLength != int64(len(file)) {
		t.Errorf("%s with %d bytes and %v, want %d", response.Status, response.ContentLength, response.Header, len(file))
	}
	piece := make([]byte, 50_000)
	for n < 8_000_000 {
		if _, err := io.ReadFull(response.Body, piece); err != nil {
			return n, err
		}
		if !bytes.Equal(piece, []byte(file[n:n+len(piece)])) {
			t.Fatalf("the download is not the file near byte %d", n)
		}
		n += len(piece)
		time.Sleep(100 * time.Millisecond)
	}
	return n, nil
}

// readAll returns the content of files, to be shown in messages.
func readAll(paths ...string) (content string) {
	for _, path := range paths {
		data, _ := os.ReadFile(path)
		content += string(data)
	}
	return content
}

// startNginx starts nginx as a proxy in front of the API and returns its URL.
func startNginx(t *testing.T, api string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	dir := t.TempDir()
	config := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, nginxConfig, dir, address, api), 0o600); err != nil {
		t.Fatal(err)
	}
	program, err := exec.LookPath("nginx")
	if err != nil {
		program = "/usr/sbin/nginx" // Debian installs it there, and PATH of an ordinary user lacks that directory
	}
	nginx := exec.Command(program, "-e", filepath.Join(dir, "start.log"), "-p", dir, "-c", config)
	if err := nginx.Start(); err != nil {
		t.Fatalf("%v: install it with apt-get install nginx", err)
	}
	t.Cleanup(func() {
		_ = nginx.Process.Kill()
		_ = nginx.Wait()
	})
	for range 200 {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			return "http://" + address
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("nginx does not listen; its log is", readAll(filepath.Join(dir, "error.log"), filepath.Join(dir, "start.log")))
	return ""
}
