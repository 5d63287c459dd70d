package connection

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// unsent limits how many bytes of a response the kernel buffers before it sends them. Without this limit,
// the kernel buffers up to 4 MiB for each client that does not read. Bytes that are sent but not yet
// acknowledged do not count, so distant clients get the full rate.
const unsent = 128 << 10

// limitBuffer applies the limit unsent to a connection.
func limitBuffer(c net.Conn) { setOption(c, unix.TCP_NOTSENT_LOWAT, unsent) }

// limitFarewell limits how long the kernel goes on sending data after c is closed. Without this limit, the
// kernel goes on for some minutes. Call it only when closing c: on an open connection, the option would
// also end responses to clients that read slowly.
func limitFarewell(c net.Conn, limit time.Duration) {
	setOption(c, unix.TCP_USER_TIMEOUT, int(limit.Milliseconds()))
}

func setOption(c net.Conn, option, value int) {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return // the connection is closed already
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, option, value) // ignore an error, because the server also works without the option
	})
}
