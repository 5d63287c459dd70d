package storetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/google/uuid"
)

// Toxic is a store behind Toxiproxy, which can disturb connections.
type Toxic struct {
	*Store // with the address of the proxy

	api string // address of Toxiproxy's HTTP API
}

// NewToxic puts Toxiproxy in front of the store. At first it does not disturb anything.
func (s *Store) NewToxic(t testing.TB) *Toxic {
	t.Helper()
	server, err := start(toxiproxy)
	if err != nil {
		t.Fatal("toxiproxy:", err)
	}
	name := uuid.NewString()
	x := &Toxic{api: "http://" + server.Address + "/proxies"}
	var made struct{ Listen string }
	x.call(t, http.MethodPost, "", map[string]any{"name": name, "listen": "127.0.0.1:0", "upstream": s.Address, "enabled": true}, &made)
	x.api += "/" + name
	t.Cleanup(func() { x.call(t, http.MethodDelete, "", nil, nil) })
	x.Store = s.through(made.Listen)
	return x
}

// Spoil disturbs all connections, including open ones. The stream is "downstream" for data from the
// store, or "upstream" for data to the store. kind and attributes describe one of Toxiproxy's
// toxics.
func (x *Toxic) Spoil(t testing.TB, stream, kind string, attributes map[string]int) {
	t.Helper()
	x.call(t, http.MethodPost, "/toxics", map[string]any{"name": kind, "type": kind, "stream": stream, "attributes": attributes}, nil)
}

// Heal ends the disturbance of this kind, which Spoil began.
func (x *Toxic) Heal(t testing.TB, kind string) {
	t.Helper()
	x.call(t, http.MethodDelete, "/toxics/"+kind, nil, nil)
}

// SetDown makes the store unreachable if down, and reachable otherwise.
func (x *Toxic) SetDown(t testing.TB, down bool) {
	t.Helper()
	x.call(t, http.MethodPost, "", map[string]any{"enabled": !down}, nil)
}

func (x *Toxic) call(t testing.TB, method, path string, body, result any) {
	t.Helper()
	// The context of the test has ended when its cleanup runs.
	if err := callToxiproxy(context.Background(), method, x.api+path, body, result); err != nil {
		t.Fatal(err)
	}
}

func callToxiproxy(ctx context.Context, method, address string, body, result any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(text))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode/100 != 2 {
		err = errors.New(response.Status)
	}
	if err == nil && result != nil {
		err = json.Unmarshal(answer, result)
	}
	if err != nil {
		return fmt.Errorf("toxiproxy: %s %s: %w: %s", method, address, err, answer)
	}
	return nil
}
