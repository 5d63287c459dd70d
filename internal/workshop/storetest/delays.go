package storetest

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"memexport/internal/workshop/devstack"
)

// Delays is a Toxiproxy that delays what a server sends.
type Delays struct{ server *devstack.Server }

// StartDelays starts Toxiproxy for a program that is not a test. It keeps its log in dir. The caller must
// stop it.
func StartDelays(ctx context.Context, dir string) (*Delays, error) {
	options, err := ServerOptions(ctx, toxiproxy, dir)
	if err != nil {
		return nil, err
	}
	server, err := devstack.StartServer(ctx, options)
	return &Delays{server}, err
}

// Stop ends all proxies.
func (d *Delays) Stop() { d.server.Stop() }

// Of returns the address of a proxy in front of the server at address. The proxy delays all data from
// the server by delay, as if a round trip took that much longer. It does not limit the rate.
func (d *Delays) Of(ctx context.Context, address string, delay time.Duration) (proxy string, err error) {
	var made struct{ Listen string }
	api, name := "http://"+d.server.Address+"/proxies", uuid.NewString()
	err = callToxiproxy(ctx, http.MethodPost, api, map[string]any{"name": name, "listen": "127.0.0.1:0", "upstream": address, "enabled": true}, &made)
	if err == nil && delay > 0 {
		err = callToxiproxy(ctx, http.MethodPost, api+"/"+name+"/toxics", map[string]any{"type": "latency", "stream": "downstream",
			"attributes": map[string]int64{"latency": delay.Milliseconds()}}, nil)
	}
	return made.Listen, err
}
