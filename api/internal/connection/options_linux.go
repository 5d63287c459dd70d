package connection

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// unsent is how much of a response the kernel takes beyond what the client's window lets it send.
// Without it the kernel takes up to 4 MiB for each client that does not read. What is on its way is
// not limited, so that distant clients get the full rate.
const unsent = 128 << 10

// limitBuffer bounds what the kernel keeps of a response that the client does not read.
func limitBuffer(c net.Conn) { setOption(c, unix.TCP_NOTSENT_LOWAT, unsent) }

// limitFarewell bounds how long the kernel keeps what is not sent yet when c has been closed: without
// it some minutes. While c is open it would be wrong: it also ends connections whose clients read
// slowly.
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
		return // it is closed already
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, option, value) // a kernel without the option works too
	})
}
