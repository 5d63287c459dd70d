package temporalclient_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"memexport/internal/service/temporalclient"
	"memexport/internal/workshop/await"
	"memexport/internal/workshop/process"
	"memexport/internal/workshop/temporaltest"
)

// patience limits every wait for something that takes a few seconds at most on an idle machine.
const patience = time.Minute

var server string // a real Temporal server

func TestMain(m *testing.M) {
	temporaltest.Main(m, func(address string) error { server = address; return nil })
}

// lines collects what is logged.
type lines struct{ process.Buffer }

// with returns the lines that contain the text.
func (l *lines) with(text string) (found []string) {
	for line := range strings.Lines(l.String()) {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}

// open opens a connection that is closed at the end of the test.
func open(t *testing.T, o temporalclient.Options) (*temporalclient.Connection, *lines) {
	t.Helper()
	log := &lines{}
	o.Log = slog.New(slog.NewTextHandler(log, nil))
	if o.TaskQueue == "" {
		o.TaskQueue = t.Name()
	}
	c, err := temporalclient.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Client.Close)
	return c, log
}

// work runs a worker until the test ends or stop is called. It polls for workflow tasks and activity tasks.
func work(t *testing.T, c *temporalclient.Connection, o worker.Options) (stop func()) {
	t.Helper()
	w := worker.New(c.Client, t.Name(), o)
	w.RegisterWorkflowWithOptions(func(workflow.Context) error { return nil }, workflow.RegisterOptions{Name: "Nothing"})
	w.RegisterActivity(func() error { return nil })
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(w.Stop)
	t.Cleanup(stop)
	return stop
}

func TestTheStateSaysWhetherAWorkerPollsAndGotATask(t *testing.T) {
	c, log := open(t, temporalclient.Options{Client: client.Options{HostPort: server}})
	s := c.Look(t.Context())
	if !s.Reached || s.Polls || s.Build != nil || s.LastTask != nil || s.Err() == nil || !strings.Contains(s.Err().Error(), "does not poll") {
		t.Errorf("without a worker, the state is %+v, %v", s, s.Err())
	}
	work(t, c, worker.Options{})
	await.True(t, patience, "the worker polls", func() bool { return c.Look(t.Context()).Err() == nil })
	s = c.Look(t.Context())
	if s.Address != server || s.Namespace != "default" || s.ServerVersion == "" || s.SDKVersion == "" || s.LastTask != nil || !*s.Build.Current {
		t.Errorf("the state is %+v with %+v", s, s.Build)
	}
	before := time.Now()
	run, err := c.Client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: t.Name()}, "Nothing")
	if err == nil {
		err = run.Get(t.Context(), nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	if last := c.State().LastTask; last == nil || last.Before(before) {
		t.Errorf("the last task came at %v", last)
	}
	if told := log.with("level=WARN"); told != nil {
		t.Errorf("the log has warnings: %s", told)
	}
}

func TestABuildThatIsNotCurrentIsToldOnceAndWhenThatIsOver(t *testing.T) {
	const deployment, build = "memexport-test", "b1"
	c, log := open(t, temporalclient.Options{Client: client.Options{HostPort: server}, DeploymentName: deployment, BuildID: build})
	work(t, c, worker.Options{DeploymentOptions: worker.DeploymentOptions{UseVersioning: true,
		Version:                   worker.WorkerDeploymentVersion{DeploymentName: deployment, BuildID: build},
		DefaultVersioningBehavior: workflow.VersioningBehaviorAutoUpgrade}})
	await.True(t, patience, "the worker polls", func() bool { return c.Look(t.Context()).Err() == nil })
	for range 3 {
		if b := c.Look(t.Context()).Build; *b.Current || b.CurrentBuild != "" {
			t.Errorf("the build is %+v", b)
		}
	}
	told := log.with("gives this worker no tasks")
	if len(told) != 1 || !strings.Contains(told[0], "level=WARN") || !strings.Contains(told[0], "WORKER_BUILD_ID") ||
		!strings.Contains(told[0], "temporal worker deployment set-current-version --deployment-name memexport-test --build-id b1") {
		t.Errorf("the log has %q", told)
	}
	handle := c.Client.WorkerDeploymentClient().GetHandle(deployment)
	await.True(t, patience, "the build is current", func() bool {
		_, err := handle.SetCurrentVersion(t.Context(), client.WorkerDeploymentSetCurrentVersionOptions{BuildID: build})
		return err == nil
	})
	await.True(t, patience, "the state says so", func() bool { return *c.Look(t.Context()).Build.Current })
	if told := log.with("gives this worker tasks"); len(told) != 1 {
		t.Errorf("the log has %q", told)
	}
	// The build b1 is current now, so Temporal gives no tasks to a worker without a version.
	other, log := open(t, temporalclient.Options{Client: client.Options{HostPort: server}})
	work(t, other, worker.Options{})
	await.True(t, patience, "the other worker polls", func() bool { return other.Look(t.Context()).Err() == nil })
	if told := log.with("gives this worker no tasks"); len(told) != 1 || !strings.Contains(told[0], "memexport-test b1") || !strings.Contains(told[0], "set WORKER_BUILD_ID") {
		t.Errorf("the log has %q", told)
	}
}

// proxy forwards connections to the Temporal server, while it is up. With a TLS configuration, it speaks
// TLS to the client.
type proxy struct {
	net.Listener
	mu    sync.Mutex
	up    bool
	conns []net.Conn
}

func newProxy(t *testing.T, config *tls.Config) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{Listener: listener, up: true}
	if config != nil {
		p.Listener = tls.NewListener(listener, config)
	}
	t.Cleanup(func() { listener.Close(); p.set(false) })
	go func() {
		for {
			near, err := p.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", server)
			p.mu.Lock()
			if err != nil || !p.up {
				near.Close()
				p.mu.Unlock()
				continue
			}
			p.conns = append(p.conns, near, far)
			p.mu.Unlock()
			for _, pair := range [][2]net.Conn{{near, far}, {far, near}} {
				go func() {
					_, _ = io.Copy(pair[0], pair[1]) // it returns when either side closes
					pair[0].Close()
				}()
			}
		}
	}()
	return p
}

// set lets connections through, or closes the open ones and all later ones.
func (p *proxy) set(up bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.up = up
	if !up {
		for _, conn := range p.conns {
			conn.Close()
		}
		p.conns = nil
	}
}

func TestAnOutageIsToldOnceAndWhenItIsOver(t *testing.T) {
	p := newProxy(t, nil)
	c, log := open(t, temporalclient.Options{Client: client.Options{HostPort: p.Addr().String()}})
	stop := work(t, c, worker.Options{})
	await.True(t, patience, "the worker polls", func() bool { return c.Look(t.Context()).Err() == nil })
	p.set(false)
	await.True(t, patience, "the state has a problem", func() bool { return c.State().Problem != "" })
	await.True(t, patience, "the SDK has noticed", func() bool { return log.with("Failed to poll") != nil })
	for range 10 {
		if c.Look(t.Context()).Err() == nil {
			t.Error("the worker counts as polling")
		}
	}
	p.set(true)
	await.True(t, patience, "the worker polls again", func() bool { return c.Look(t.Context()).Err() == nil })
	stop()
	if begun, over := log.with("cannot be used"), log.with("can be used again"); len(begun) == 0 || len(begun) > 2 || len(over) != 1 || !strings.Contains(begun[0], "TEMPORAL_ADDRESS") {
		t.Errorf("the log has %q and %q", begun, over)
	}
	if all := log.with("level=WARN"); len(all) > 6 {
		t.Errorf("the log has %d warnings: %s", len(all), all)
	}
}

// certificate returns the configuration of a TLS server, and the certificates that a client must trust.
func certificate(t *testing.T) (*tls.Config, *x509.CertPool) {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	defer s.Close()
	config := &tls.Config{Certificates: s.TLS.Certificates, NextProtos: []string{"h2"}}
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return config, pool
}

func TestAWrongConnectionIsToldWithTheSettingToChange(t *testing.T) {
	config, trusted := certificate(t)
	mutual := config.Clone()
	mutual.ClientAuth = tls.RequireAnyClientCert
	plain, encrypted, strict := newProxy(t, nil), newProxy(t, config), newProxy(t, mutual)
	denying := grpc.NewServer(grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error {
		return status.Error(codes.PermissionDenied, "Request unauthorized.")
	}))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = denying.Serve(listener) }()
	t.Cleanup(denying.Stop)
	hanging, err := net.Listen("tcp", "127.0.0.1:0") // it accepts connections and never reads
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hanging.Close() })
	withTLS := func(c *tls.Config) client.ConnectionOptions { return client.ConnectionOptions{TLS: c} }
	for name, wrong := range map[string]struct {
		options client.Options
		reached bool
		remedy  string
	}{
		"nothing listens":            {client.Options{HostPort: "127.0.0.1:1"}, false, "check that it runs, TEMPORAL_ADDRESS"},
		"a name without an address":  {client.Options{HostPort: "no..name:7233"}, false, "check that it runs, TEMPORAL_ADDRESS"}, // DNS is not asked for such a name
		"two ports":                  {client.Options{HostPort: "127.0.0.1:1:1"}, false, "check that it runs, TEMPORAL_ADDRESS"},
		"it never answers":           {client.Options{HostPort: hanging.Addr().String()}, false, "TEMPORAL_ADDRESS"},
		"TLS to a server without":    {client.Options{HostPort: plain.Addr().String(), ConnectionOptions: withTLS(&tls.Config{})}, false, "set TEMPORAL_TLS=false"},
		"no TLS to a server with":    {client.Options{HostPort: encrypted.Addr().String()}, false, "set TEMPORAL_TLS=true"},
		"an unknown authority":       {client.Options{HostPort: encrypted.Addr().String(), ConnectionOptions: withTLS(&tls.Config{})}, false, "TEMPORAL_TLS_SERVER_CA_CERT_PATH"},
		"another name":               {client.Options{HostPort: encrypted.Addr().String(), ConnectionOptions: withTLS(&tls.Config{RootCAs: trusted, ServerName: "x.test"})}, false, "TEMPORAL_TLS_SERVER_NAME"},
		"no client certificate":      {client.Options{HostPort: strict.Addr().String(), ConnectionOptions: withTLS(&tls.Config{RootCAs: trusted})}, false, "TEMPORAL_TLS_CLIENT_CERT_PATH"},
		"a namespace that is absent": {client.Options{HostPort: server, Namespace: "absent"}, true, "set TEMPORAL_NAMESPACE"},
		"a caller without a right":   {client.Options{HostPort: listener.Addr().String()}, true, "set TEMPORAL_API_KEY"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, log := open(t, temporalclient.Options{Client: wrong.options, TaskQueue: "q"})
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			for range 2 {
				began := time.Now()
				c.Look(ctx)
				if took := time.Since(began); took > 10*time.Second {
					t.Errorf("a look took %s", took)
				}
				start, cancel := context.WithTimeout(ctx, 2*time.Second)
				_, err := c.Client.ExecuteWorkflow(start, client.StartWorkflowOptions{TaskQueue: "q"}, "Nothing")
				cancel()
				if err == nil {
					t.Fatal("a workflow was started")
				}
			}
			if s := c.State(); s.Reached != wrong.reached || !strings.Contains(s.Problem, wrong.remedy) {
				t.Errorf("the state is %+v", s)
			}
			if told := log.with("level=WARN"); len(told) == 0 || len(told) > 2 || !strings.Contains(told[len(told)-1], wrong.remedy) {
				t.Errorf("the log has %d warnings: %s", len(told), told)
			}
		})
	}
	t.Run("nothing is wrong", func(t *testing.T) {
		c, _ := open(t, temporalclient.Options{Client: client.Options{HostPort: encrypted.Addr().String(), ConnectionOptions: withTLS(&tls.Config{RootCAs: trusted})}})
		if s := c.Look(t.Context()); !s.Reached || s.Problem != "" {
			t.Errorf("the state is %+v", s)
		}
	})
}
