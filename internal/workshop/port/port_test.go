package port_test

import (
	"net"
	"strconv"
	"testing"

	"memexport/internal/workshop/port"
)

func TestARestartablePortIsFreeAndNotGivenOutBySystems(t *testing.T) {
	got, err := port.Restartable()
	if err != nil {
		t.Fatal(err)
	}
	if got < 20_000 || got >= 32_000 {
		t.Errorf("the port is %d", got)
	}
	for range 2 { // a server can listen, stop, and listen again
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(got)))
		if err != nil {
			t.Fatal(err)
		}
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
