package connection_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"memexport/api/internal/connection"
)

// listen returns a listener with these limits, which is closed when the test ends.
func listen(t *testing.T, limits connection.Limits) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return connection.Listen(l, limits)
}

// dial opens a connection to l.
func dial(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

// isReset opens a connection and fails the test unless the server resets it, either at once or later.
func isReset(t *testing.T, l net.Listener) {
	t.Helper()
	c, err := net.DialTimeout("tcp", l.Addr().String(), 30*time.Second)
	if err == nil {
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(30 * time.Second))
		_, err = c.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("the connection beyond the limit sees %v, want a reset", err)
	}
}

// pair opens a connection and returns both ends of it.
func pair(t *testing.T, l net.Listener) (server, client net.Conn) {
	t.Helper()
	client = dial(t, l)
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return server, client
}

// withoutDeadline removes the write deadline, as net/http does after each response.
func withoutDeadline(c net.Conn) error {
	if _, err := c.Write([]byte("x")); err != nil {
		return err
	}
	return errors.Join(c.SetWriteDeadline(time.Time{}), c.SetDeadline(time.Time{}))
}

var writers = map[string]func(net.Conn) error{
	"Write": func(c net.Conn) error {
		_, err := c.Write(make([]byte, 64<<20))
		return err
	},
	"Write after the deadline was removed": func(c net.Conn) error {
		if err := withoutDeadline(c); err != nil {
			return err
		}
		_, err := c.Write(make([]byte, 64<<20))
		return err
	},
	"ReadFrom of a file": func(c net.Conn) error {
		file, err := os.CreateTemp("", "memexport-connection-")
		if err != nil {
			return err
		}
		defer os.Remove(file.Name())
		defer file.Close()
		if err := file.Truncate(64 << 20); err != nil {
			return err
		}
		_, err = io.Copy(c, &io.LimitedReader{R: file, N: 64 << 20})
		return err
	},
	"ReadFrom of memory": func(c net.Conn) error {
		_, err := io.Copy(c, &io.LimitedReader{R: bytes.NewReader(make([]byte, 64<<20)), N: 64 << 20})
		return err
	},
}

// reader is a connection that records the sources with which its method ReadFrom is called.
type reader struct {
	net.Conn
	sources []io.Reader
}

func (r *reader) ReadFrom(src io.Reader) (int64, error) {
	r.sources = append(r.sources, src)
	return io.Copy(io.Discard, src)
}

type oneConn struct {
	net.Listener
	conn net.Conn
}

func (o oneConn) Accept() (net.Conn, error) { return o.conn, nil }

// The kernel can send a file only if the wrapped connection gets the file, and not only its bytes.
func TestFilesReachTheWrappedConnectionAsFiles(t *testing.T) {
	server, _ := pair(t, listen(t, connection.Limits{Stall: time.Minute}))
	inner := &reader{Conn: server}
	c, err := connection.Listen(oneConn{conn: inner}, connection.Limits{Stall: time.Minute}).Accept()
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "part"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	const size = 300_000
	if err := file.Truncate(size); err != nil {
		t.Fatal(err)
	}
	section := &io.LimitedReader{R: file, N: size + 1}
	if n, err := io.Copy(c, section); n != size || err != nil {
		t.Errorf("%d bytes were sent: %v", n, err)
	}
	for _, src := range inner.sources {
		if section, ok := src.(*io.LimitedReader); !ok || section.R != io.Reader(file) {
			t.Errorf("the source is a %T", src)
		}
	}
	if len(inner.sources) < 2 || section.N != 1 {
		t.Errorf("%d pieces were sent, and %d bytes are left", len(inner.sources), section.N)
	}
}

func TestAClientThatNeverReadsIsReset(t *testing.T) {
	for name, write := range writers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, client := pair(t, listen(t, connection.Limits{Stall: 500 * time.Millisecond}))
			if err := write(server); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal(err)
			}
			server.Close()
			var err error
			for {
				if _, err = client.Read(make([]byte, 64<<10)); err != nil {
					break
				}
			}
			if !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the client sees %v, want a reset", err)
			}
		})
	}
}

// The client needs longer than the limit for all the data, but only a fraction of the limit for each
// piece.
func TestASlowClientGetsEverything(t *testing.T) {
	t.Parallel()
	server, client := pair(t, listen(t, connection.Limits{Stall: time.Second}))
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<17) // 2 MiB
	failed := make(chan error, 1)
	go func() {
		_, err := server.Write(sent)
		failed <- errors.Join(err, server.Close())
	}()
	var got []byte
	buffer := make([]byte, 16<<10)
	for {
		n, err := client.Read(buffer)
		got = append(got, buffer[:n]...)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err := <-failed; err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d of %d bytes arrived: %v", len(got), len(sent), err)
	}
}

func TestConnectionsBeyondALimitAreReset(t *testing.T) {
	for name, limits := range map[string]connection.Limits{
		"in all":      {Stall: time.Minute, Max: 2},
		"per address": {Stall: time.Minute, MaxPerAddress: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refused := make(chan int, 1) // a second report within the minute would block
			limits.Refused = func(n int) { refused <- n }
			l := listen(t, limits)
			first, _ := pair(t, l)
			pair(t, l)
			accepted := make(chan net.Conn, 2)
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					accepted <- c
				}
			}()
			isReset(t, l)
			select {
			case n := <-refused:
				if n != 1 {
					t.Errorf("%d connections were reported, want 1", n)
				}
			case <-time.After(20 * time.Second):
				t.Error("the refusal is not reported")
			}
			first.Close()
			first.Close() // a second Close must not count again
			dial(t, l)
			select {
			case c := <-accepted:
				defer c.Close()
			case <-time.After(20 * time.Second):
				t.Fatal("no connection is accepted after one was closed")
			}
			isReset(t, l)
		})
	}
}

func TestACustomersIPv6AddressesCountAsOne(t *testing.T) {
	for text, want := range map[string]string{"192.0.2.1": "192.0.2.1/32", "2001:db8:1:2:3::4": "2001:db8:1:2::/64", "2001:db8:1:2:ffff::": "2001:db8:1:2::/64"} {
		if got := connection.NetworkOf(netip.MustParseAddr(text)).String(); got != want {
			t.Errorf("%s counts as %s, want %s", text, got, want)
		}
	}
	if connection.NetworkOf(netip.Addr{}).IsValid() {
		t.Error("no address counts as one")
	}
	l := connection.Listen(&queue{addresses: []string{"[2001:db8:1:2::1]:1", "[2001:db8:1:2::2]:1", "[2001:db8:1:2::3]:1", "[2001:db8:1:3::1]:1"}}, connection.Limits{MaxPerAddress: 2})
	for _, want := range []string{"[2001:db8:1:2::1]:1", "[2001:db8:1:2::2]:1", "[2001:db8:1:3::1]:1"} {
		if c, err := l.Accept(); err != nil || c.RemoteAddr().String() != want {
			t.Errorf("Accept: %v, %v, want a connection from %s", c, err, want)
		}
	}
}

// queue is a listener with connections from the given addresses.
type queue struct {
	net.Listener
	addresses []string
}

func (q *queue) Accept() (net.Conn, error) {
	c := &from{address: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(q.addresses[0]))}
	q.addresses = q.addresses[1:]
	return c, nil
}

// from is a connection from an address. It can only be closed.
type from struct {
	net.Conn
	address net.Addr
}

func (c *from) RemoteAddr() net.Addr { return c.address }
func (c *from) Close() error         { return nil }
