//go:build !linux

package connection

import (
	"net"
	"time"
)

func limitBuffer(net.Conn) {}

func limitFarewell(net.Conn, time.Duration) {}
