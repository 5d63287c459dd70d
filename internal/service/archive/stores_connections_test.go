package archive

import (
	"bytes"
	"io"

	"memexport/internal/workshop/storetest"
)

// connectionCases use the store through a proxy that slows down or breaks connections.
var connectionCases = []storeCase{
	{name: "slow_connections", on: onServers, run: slowConnections},
	{name: "connections_that_break", on: onServers, run: connectionsThatBreak},
	{name: "connections_that_break_compressed", on: onServers, run: connectionsThatBreakCompressed},
	{name: "connections_that_hang", on: onServers, run: connectionsThatHang},
	{name: "store_is_down", on: onServers, run: storeIsDown},
}

// toxic opens the store of c through a proxy.
func toxic(c *inStore) (*inStore, *storetest.Toxic) {
	c.Helper()
	proxy := c.store.NewToxic(c.T)
	return openStore(c.T, proxy.Store, shortTimeouts), proxy
}

func slowConnections(c *inStore) {
	a, proxy := toxic(c)
	for _, stream := range []string{"upstream", "downstream"} {
		proxy.Spoil(c.T, stream, "bandwidth", map[string]int{"rate": 1500}) // KB/s
		data := noise(2<<20, 1)
		part := a.put(0, data)
		a.wantFile(joined(marks, data), part)
		proxy.Heal(c.T, "bandwidth")
	}
	proxy.Spoil(c.T, "downstream", "latency", map[string]int{"latency": 50, "jitter": 30})
	proxy.Spoil(c.T, "downstream", "slicer", map[string]int{"average_size": 1000, "size_variation": 500, "delay": 10})
	data := noise(100_000, 2)
	part := a.put(1, data)
	a.wantFile(joined(marks, data), part)
}

func connectionsThatBreak(c *inStore) {
	data := noise(2<<20, 1)
	part := c.put(0, data)
	a, proxy := toxic(c)
	proxy.Spoil(c.T, "downstream", "limit_data", map[string]int{"bytes": 500_000})
	a.wantFile(joined(marks, data), part) // reading resumes where a connection broke
	proxy.Heal(c.T, "limit_data")

	proxy.Spoil(c.T, "upstream", "limit_data", map[string]int{"bytes": 500_000})
	_, err := a.Put(c.Context(), exportID, 0, 1, data)
	c.wantUnavailable("Put", err)
	proxy.Heal(c.T, "limit_data")
	c.wantObjects(part)

	proxy.Spoil(c.T, "downstream", "reset_peer", map[string]int{"timeout": 0})
	for what, err := range a.attempts(part) {
		c.wantUnavailable(what, err)
	}
	proxy.Heal(c.T, "reset_peer")
	healed := a.put(1, []byte("healed"))
	a.wantFile(joined(marks, data, []byte("healed")), part, healed)
}

func connectionsThatBreakCompressed(c *inStore) {
	data := noise(2<<20, 1) // cannot be compressed, so the object is as large as the data
	part := put(c.T, compressing(c.Archive), 0, data)
	a, proxy := toxic(c)
	proxy.Spoil(c.T, "downstream", "limit_data", map[string]int{"bytes": 500_000})
	a.wantFile(joined(marks, data), part)
	got := make([]byte, 100)
	file := a.File(c.Context(), bare, []Part{part})
	defer file.Close()
	if _, err := file.Seek(-100, io.SeekEnd); err != nil {
		c.Fatal(err)
	}
	if _, err := io.ReadFull(file, got); err != nil || !bytes.Equal(got, data[len(data)-100:]) {
		c.Errorf("the end of a compressed part: %v", err)
	}
}

func connectionsThatHang(c *inStore) {
	data := noise(3<<20, 1)
	part := c.put(0, data)
	a, faults := faulty(c)
	faults.Set(when(reads, storetest.Fault{CutAfter: 2 << 20, Hang: true}))
	a.wantFile(joined(marks, data), part) // reading continues over a new connection
	if faults.Answers() < 4 {
		c.Errorf("only %d connections were opened", faults.Answers())
	}

	b, proxy := toxic(c)
	proxy.Spoil(c.T, "downstream", "timeout", map[string]int{"timeout": 0}) // zero means that no byte ever arrives
	for what, err := range b.attempts(part) {
		c.wantUnavailable(what, err)
	}
	proxy.Heal(c.T, "timeout")
	b.wantFile(joined(marks, data), part)
}

func storeIsDown(c *inStore) {
	part := c.put(0, []byte("data"))
	a, proxy := toxic(c)
	proxy.SetDown(c.T, true)
	for what, err := range a.attempts(part) {
		c.wantUnavailable(what, err)
	}
	proxy.SetDown(c.T, false)
	a.wantFile(joined(marks, []byte("data")), part)
	c.wantObjects(part)
}
