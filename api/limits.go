package api

import (
	"cmp"
	"time"
)

// Limits bound what the clients of one process can use.
type Limits struct {
	// ReadHeader is how long a client has to send the headers of a request, counted from the beginning of
	// the connection or of the request. Defaults to 10 seconds.
	ReadHeader time.Duration
	// ReadRequest is how long a client has to send a request with its body, which has at most 64 KiB.
	// Defaults to 30 seconds.
	ReadRequest time.Duration
	// Idle is how long a connection is kept for another request. It should be longer than clients wait
	// between two polls, and than proxies keep their connections. Defaults to 2 minutes.
	Idle time.Duration
	// Stall is how long a client has to take the next 64 KiB of any response. Defaults to 1 minute.
	Stall time.Duration

	// Connections is how many may be open at once. Further ones are reset. 0 means any number.
	Connections int
	// ConnectionsPerAddress is the same for each IP address. 0 means any number.
	ConnectionsPerAddress int

	// RequestsPerSecond is how many requests each key may make in a second. A key that was quiet may make
	// five times as many at once. 0 means any number.
	RequestsPerSecond int
	// LongPolls is how many requests may wait for exports at once, and LongPollsPerKey how many of them with
	// one key. 0 means any number.
	LongPolls, LongPollsPerKey int
	// Downloads is how many files may be sent at once, and DownloadsPerKey how many of them with one key.
	// 0 means any number.
	Downloads, DownloadsPerKey int
}

func (l Limits) withDefaults() Limits {
	l.ReadHeader = cmp.Or(l.ReadHeader, 10*time.Second)
	l.ReadRequest = cmp.Or(l.ReadRequest, 30*time.Second)
	l.Idle = cmp.Or(l.Idle, 2*time.Minute)
	l.Stall = cmp.Or(l.Stall, time.Minute)
	return l
}
