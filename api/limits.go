package api

import (
	"cmp"
	"time"
)

// Limits bound what the clients of one process can use.
type Limits struct {
	// ReadHeader is how long a client may take to send the headers of a request. The time starts when the
	// connection is opened, or with the first byte of a later request. Defaults to 10 seconds.
	ReadHeader time.Duration
	// ReadRequest is how long a client may take to send a whole request. The body has at most 64 KiB.
	// Defaults to 30 seconds.
	ReadRequest time.Duration
	// Idle is how long an idle connection stays open for another request. It should be longer than the
	// pause between two polls of a client, and longer than proxies keep their idle connections. Defaults
	// to 2 minutes.
	Idle time.Duration
	// Stall is how long a client may take to accept the next 64 KiB of any response. Defaults to 1 minute.
	Stall time.Duration

	// Connections is how many connections may be open at once. Connections beyond that are reset. 0 means
	// any number.
	Connections int
	// ConnectionsPerAddress is how many connections may be open at once from one IP address. 0 means any
	// number.
	ConnectionsPerAddress int

	// RequestsPerSecond is how many requests each key may make in a second. After a pause, a key may make
	// five times as many requests at once. 0 means any number.
	RequestsPerSecond int
	// LongPolls is how many requests may wait for exports at once. LongPollsPerKey is how many of these
	// requests may come from one key. 0 means any number.
	LongPolls, LongPollsPerKey int
	// Downloads is how many files may be sent at once. DownloadsPerKey is how many of these files may be
	// sent to one key. 0 means any number.
	Downloads, DownloadsPerKey int
}

func (l Limits) withDefaults() Limits {
	l.ReadHeader = cmp.Or(l.ReadHeader, 10*time.Second)
	l.ReadRequest = cmp.Or(l.ReadRequest, 30*time.Second)
	l.Idle = cmp.Or(l.Idle, 2*time.Minute)
	l.Stall = cmp.Or(l.Stall, time.Minute)
	return l
}
