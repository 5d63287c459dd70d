// Package temporalclient opens the connection to Temporal and watches the calls that the SDK makes. When
// calls fail, it tells the operator what to do.
package temporalclient

import (
	"context"
	"log/slog"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	temporallog "go.temporal.io/sdk/log"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"memexport/internal/service/telemetry"
)

// Options configures a Connection.
type Options struct {
	Client    client.Options
	TaskQueue string

	// DeploymentName and BuildID identify the version of the worker in this process. They are empty if it has
	// none.
	DeploymentName string
	BuildID        string

	Log *slog.Logger
}

// seldom is how often a problem that lasts is logged again.
const seldom = 10 * time.Minute

// Connection is a client of Temporal whose calls are watched.
type Connection struct {
	Client client.Client

	options Options
	trouble telemetry.Episode // calls that fail
	routing telemetry.Episode // tasks that go to other builds than this worker's

	mu       sync.Mutex
	problem  *problem
	method   string                                     // the method whose call failed with the problem
	worked   bool                                       // whether the server has ever answered a call
	server   string                                     // the version of the server
	queue    *workflowservice.DescribeTaskQueueResponse // the answer to the last Look, or nil if that failed
	polls    map[string]*polls
	lastTask time.Time
}

// Open returns a connection that is made when it is first used. It returns an error if the options are wrong.
func Open(o Options) (*Connection, error) {
	c := &Connection{options: o, polls: map[string]*polls{}}
	c.trouble = telemetry.Episode{Log: o.Log, Every: seldom, Begun: "Temporal cannot be used", Over: "Temporal can be used again"}
	c.routing = telemetry.Episode{Log: o.Log, Every: seldom, Begun: "Temporal gives this worker no tasks", Over: "Temporal gives this worker tasks"}
	settings := o.Client
	settings.Logger = temporallog.NewStructuredLogger(slog.New(telemetry.Seldom(o.Log.Handler(), seldom)))
	settings.ConnectionOptions.DialOptions = append(slices.Clip(settings.ConnectionOptions.DialOptions), grpc.WithChainUnaryInterceptor(c.intercept))
	var err error
	c.Client, err = client.NewLazyClient(settings)
	return c, err
}

// polls are the calls that ask for tasks of one kind.
type polls struct {
	open map[*time.Time]struct{} // when each open call began
	err  error                   // of the last call that ended
}

// working reports whether polling works. If the last poll has failed, polling counts as working once another
// poll has been open for a second: polls to an unreachable server fail at once.
func (p *polls) working(now time.Time) bool {
	if p.err == nil {
		return true
	}
	for began := range p.open {
		if now.Sub(*began) >= time.Second {
			return true
		}
	}
	return false
}

// workflowService precedes the names of the methods that need permissions in the namespace.
const workflowService = "/temporal.api.workflowservice.v1.WorkflowService/"

// intercept makes one call and notes how it ended. The SDK may repeat the call.
func (c *Connection) intercept(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, o ...grpc.CallOption) error {
	began := time.Now()
	poll := strings.HasPrefix(method, workflowService+"Poll")
	if poll {
		c.mu.Lock()
		p := c.polls[method]
		if p == nil {
			p = &polls{open: map[*time.Time]struct{}{}}
			c.polls[method] = p
		}
		p.open[&began] = struct{}{}
		c.mu.Unlock()
	}
	err := invoke(ctx, method, request, reply, conn, o...)
	code := status.Code(err)
	cancelled := code == codes.Canceled
	c.mu.Lock()
	if poll {
		delete(c.polls[method].open, &began)
		if !cancelled {
			c.polls[method].err = err
		}
	}
	if code != codes.Unavailable && code != codes.DeadlineExceeded && !cancelled {
		c.worked = true
	}
	if err == nil {
		c.read(reply)
	}
	c.mu.Unlock()
	switch {
	case err == nil:
		c.succeeded(ctx, method)
	case !cancelled && ctx.Err() != context.Canceled:
		c.failed(ctx, method, err)
	}
	return err
}

// read notes what a reply says about the server and about tasks. The caller must hold c.mu.
func (c *Connection) read(reply any) {
	switch r := reply.(type) {
	case *workflowservice.GetSystemInfoResponse:
		c.server = r.GetServerVersion()
	case interface{ GetTaskToken() []byte }: // the reply to a poll
		if len(r.GetTaskToken()) > 0 {
			c.lastTask = time.Now()
		}
	case *workflowservice.RespondWorkflowTaskCompletedResponse: // this reply may contain the next tasks
		if r.GetWorkflowTask() != nil || len(r.GetActivityTasks()) > 0 {
			c.lastTask = time.Now()
		}
	}
}

// failed notes that a call failed. Errors that concern only the call, such as a workflow that does not
// exist, are ignored, since Temporal has answered.
func (c *Connection) failed(ctx context.Context, method string, err error) {
	p := c.explain(method, err)
	if p == nil {
		c.succeeded(ctx, method)
		return
	}
	c.mu.Lock()
	c.problem, c.method = p, method
	c.mu.Unlock()
	c.trouble.Failed(ctx, p.kind, "problem", p.remedy, "call", path.Base(method), "error", status.Convert(err).Message())
}

// succeeded notes that a call was answered. problem.endedBy decides whether that ends the problem.
func (c *Connection) succeeded(ctx context.Context, method string) {
	c.mu.Lock()
	over := c.problem != nil && c.problem.endedBy(method, c.method)
	if over {
		c.problem = nil
	}
	c.mu.Unlock()
	if over {
		c.trouble.Succeeded(ctx, "address", c.address(), "namespace", c.namespace())
	}
}
