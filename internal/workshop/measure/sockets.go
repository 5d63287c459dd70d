package measure

import "github.com/prometheus/procfs"

// The states of TCP that Sockets does not count: see include/net/tcp_states.h of Linux. In the first two
// everything has been sent and acknowledged, and the kernel keeps only a note of the connection.
const (
	tcpFinWait2 = 5
	tcpTimeWait = 6
	tcpListen   = 10
)

// Sockets describes the TCP connections of a server on this machine.
type Sockets struct {
	Open   int   // connections that its process holds
	Closed int   // connections that its process has closed, for which the kernel still has bytes
	Unread int64 // bytes that the clients of both have not taken yet
}

// SocketsOf returns the IPv4 connections to a port of this machine, as their server sees them.
func SocketsOf(port int) (s Sockets) {
	kernel, err := procfs.NewDefaultFS()
	if err != nil {
		return s
	}
	lines, err := kernel.NetTCP()
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
