// Package port finds free ports for the servers that tests and benchmarks start.
package port

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports from lowest to highest are below the ephemeral range, which begins at 32768 on Linux and at
// 49152 elsewhere. The system never assigns them to a program that asks for any free port.
const lowest, highest = 20_000, 32_000

// Restartable returns a free port on 127.0.0.1 for a server that stops and later listens on the
// same port again. The port is not an ephemeral one, because the system could assign an ephemeral
// port to another program while the server is down.
func Restartable() (int, error) {
	const attempts = 100 // most ports in the range are free, so this is more than enough
	for range attempts {
		port := lowest + rand.IntN(highest-lowest)
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, listener.Close()
		}
	}
	return 0, fmt.Errorf("found no free port from %d to %d: stop a program that listens there", lowest, highest)
}
