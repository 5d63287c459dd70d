// Package port finds ports for servers that tests and benchmarks start.
package port

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Systems give out ports from 32768 (Linux) or 49152 (others) on to programs that ask for any port. The
// ports below are only taken by programs that ask for exactly one of them.
const lowest, highest = 20_000, 32_000

// Restartable returns a free port of 127.0.0.1 that a server can have again after it was down for a
// while. A port that the system chose could meanwhile go to another program.
func Restartable() (int, error) {
	const attempts = 100 // more than enough: most ports in the range are free
	for range attempts {
		port := lowest + rand.IntN(highest-lowest)
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, listener.Close()
		}
	}
	return 0, fmt.Errorf("found no free port from %d to %d: stop a program that listens there", lowest, highest)
}
