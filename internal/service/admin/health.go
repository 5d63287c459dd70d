package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// Limit is how long a check may take. After that, the part counts as not ready. It is shorter than the
// timeouts that people set for probes, because a probe that times out does not say why.
const Limit = 3 * time.Second

// Check reports the state of a part of the process. The error says why the part is not ready, and what to do.
// The details are shown as JSON whether or not there is an error. The context ends after Limit.
type Check func(ctx context.Context) (details any, err error)

// These are the values of State.Status. /healthz answers Alive.
const (
	Ready    = "ready"
	NotReady = "not ready"
	Alive    = "ok"
)

var errStopping = errors.New("the process is stopping")

// part is a part of the process, such as api or worker. check is nil until SetCheck is called.
type part struct {
	name   string
	mu     sync.Mutex
	check  Check
	flight singleflight.Group
}

// State is the answer to /readyz.
type State struct {
	Status  string               `json:"status"`
	Problem string               `json:"problem,omitempty"`
	Version string               `json:"version"`
	Go      string               `json:"go"`
	Started time.Time            `json:"started_at"`
	Parts   map[string]PartState `json:"parts"`
}

// PartState is the state of a part of the process.
type PartState struct {
	Ready   bool   `json:"ready"`
	Problem string `json:"problem,omitempty"`
	Details any    `json:"details,omitempty"`
}

// SetCheck says that a part has started, and sets the check that finds out whether the part is ready. It
// panics if the name is not in Options.Parts.
func (s *Server) SetCheck(name string, check Check) {
	for _, p := range s.parts {
		if p.name == name {
			p.mu.Lock()
			p.check = check
			p.mu.Unlock()
			return
		}
	}
	panic("admin: the part " + name + " is not in Options.Parts")
}

// Ready returns an error unless the part is ready. It returns after Limit at the latest.
func (s *Server) Ready(ctx context.Context, name string) error {
	if s.stopping.Load() {
		return errStopping
	}
	for _, p := range s.parts {
		if p.name == name {
			_, err := p.run(ctx)
			return err
		}
	}
	return fmt.Errorf("the part %s does not exist", name)
}

// run runs the check and returns its result. If the check does not return in time, run returns an error, and
// the check goes on. A call that comes while the check is running does not start a second check, but waits for
// the first one. So goroutines do not pile up while a dependency hangs.
func (p *part) run(ctx context.Context) (details any, err error) {
	p.mu.Lock()
	check := p.check
	p.mu.Unlock()
	if check == nil {
		return nil, errors.New("it is starting: see the log of the process if this takes longer than a minute")
	}
	ctx, cancel := context.WithTimeout(ctx, Limit+Limit/10) // longer than the context of the check, so that the check has time to say what it waited for
	defer cancel()
	done := p.flight.DoChan("", func() (any, error) {
		// The check goes on when the context of this caller ends, because other callers may wait for it.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), Limit)
		defer cancel()
		return check(ctx)
	})
	select {
	case result := <-done:
		return result.Val, result.Err
	case <-ctx.Done():
		return nil, fmt.Errorf("the check did not end within %s: a database or another server does not answer", Limit)
	}
}

// State runs all checks and returns what /readyz answers.
func (s *Server) State(ctx context.Context) State {
	state := State{Status: Ready, Version: s.version, Go: runtime.Version(), Started: s.started, Parts: map[string]PartState{}}
	results := make([]PartState, len(s.parts))
	var group sync.WaitGroup
	for i, p := range s.parts {
		group.Go(func() {
			details, err := p.run(ctx)
			results[i] = PartState{Ready: err == nil, Details: details}
			if err != nil {
				results[i].Problem = err.Error()
			}
		})
	}
	group.Wait()
	for i, p := range s.parts {
		state.Parts[p.name] = results[i]
		if state.Problem == "" && !results[i].Ready {
			state.Problem = p.name + ": " + results[i].Problem
		}
	}
	if s.stopping.Load() {
		state.Problem = errStopping.Error()
	}
	if state.Problem != "" {
		state.Status = NotReady
	}
	return state
}

// healthz answers that the process lives. It checks nothing else, because a restart of the process would not
// repair a database or another server.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	write(w, http.StatusOK, map[string]string{"status": Alive, "version": s.version})
}

// readyz answers whether every part of the process is ready.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	state := s.State(r.Context())
	status := http.StatusOK
	if state.Problem != "" {
		status = http.StatusServiceUnavailable
	}
	write(w, status, state)
}

func write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(body) // an error only means that the client has gone away
}
