package measure

import "github.com/prometheus/procfs"

// These are the TCP states that Sockets does not count: see include/net/tcp_states.h of Linux. In the
// first two states, everything has been sent and acknowledged, and the kernel keeps only a small record
// of the connection.
const (
	tcpFinWait2 = 5
	tcpTimeWait = 6
	tcpListen   = 10
)

// Sockets describes the TCP connections of a server on this machine.
type Sockets struct {
	Open   int   // connections that the server's process has open
	Closed int   // connections that the process has closed, while the kernel still has bytes to send
	Unread int64 // bytes that the clients of open and closed connections have not acknowledged yet
}

// SocketsOf returns the IPv4 connections to a port of this machine, as their server sees them.
func SocketsOf(port int) (s Sockets) {
	kernel, err := procfs.NewDefaultFS()
	if err != nil {
		return s
	}
	lines, err := kernel.NetTCP() //nolint:staticcheck // the suggested replacement would add another library, only for a benchmark
	if err != nil {
		return s
	}
	for _, line := range lines {
		if line.LocalPort != uint64(port) || line.St == tcpFinWait2 || line.St == tcpTimeWait || line.St == tcpListen {
			continue
		}
		if line.Inode == 0 {
			s.Closed++
		} else {
			s.Open++
		}
		s.Unread += int64(line.TxQueue)
	}
	return s
}
