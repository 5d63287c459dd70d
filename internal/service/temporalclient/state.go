package temporalclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
)

const (
	// lookTimeout is shorter than the limit of a probe.
	lookTimeout = 2 * time.Second
	// watchFirst is the pause before the second look of Watch at the connection. It is short, but long enough
	// for a worker to begin polling. watchEvery is the pause before each later look. A look costs the server
	// about 2 ms.
	watchFirst, watchEvery = 3 * time.Second, 30 * time.Second
)

// State is what is known about the connection.
type State struct {
	Address       string     `json:"address"`
	Namespace     string     `json:"namespace"`
	TaskQueue     string     `json:"task_queue"`
	Reached       bool       `json:"reached"`
	Problem       string     `json:"problem,omitempty"`
	ServerVersion string     `json:"server_version,omitempty"`
	SDKVersion    string     `json:"sdk_version"`
	Polls         bool       `json:"polls"`                  // whether this process polls for workflow tasks and activity tasks, without errors
	LastTask      *time.Time `json:"last_task_at,omitempty"` // when this process last got a task
	Build         *Build     `json:"build,omitempty"`
}

// Build says whether Temporal gives tasks to the version of this worker.
type Build struct {
	Deployment string `json:"deployment,omitempty"`
	ID         string `json:"id,omitempty"` // "" for a worker without a version
	// Current is whether new tasks go to this build. It is nil if Temporal does not say.
	Current *bool `json:"current,omitempty"`
	// Ramping is the percentage of new tasks that this build gets although it is not the current one.
	Ramping float32 `json:"ramping_percent,omitempty"`
	// CurrentBuild is the build that is current, as deployment and id, or "" for workers without a version.
	CurrentBuild string `json:"current_build"`
}

// kinds are the methods that a worker must poll with.
var kinds = []string{workflowService + "PollWorkflowTaskQueue", workflowService + "PollActivityTaskQueue"}

// State returns what is known, without asking Temporal.
func (c *Connection) State() State {
	s := State{Address: c.address(), Namespace: c.namespace(), TaskQueue: c.options.TaskQueue, SDKVersion: temporal.SDKVersion}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.ServerVersion = c.server
	s.Polls = true
	for _, kind := range kinds {
		p := c.polls[kind]
		s.Polls = s.Polls && p != nil && p.working(time.Now())
	}
	if last := c.lastTask; !last.IsZero() {
		s.LastTask = &last
	}
	s.Reached = c.problem == nil || c.problem.kind == noNamespace || c.problem.kind == denied
	if c.problem != nil {
		s.Problem = c.problem.remedy
	}
	if len(c.polls) > 0 { // there is a worker in this process
		s.Build = c.build()
	}
	return s
}

// Look asks Temporal about the task queue, and returns what is known then. It returns after 2 seconds at the
// latest. It tells the log if a worker in this process gets no tasks.
func (c *Connection) Look(ctx context.Context) State {
	limited, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	queue, err := c.Client.WorkflowService().DescribeTaskQueue(limited, &workflowservice.DescribeTaskQueueRequest{
		Namespace: c.namespace(), TaskQueue: &taskqueuepb.TaskQueue{Name: c.options.TaskQueue},
		TaskQueueType: enumspb.TASK_QUEUE_TYPE_WORKFLOW,
	})
	c.mu.Lock()
	c.queue = queue
	if err != nil {
		c.queue = nil
	}
	c.mu.Unlock()
	s := c.State()
	if s.Build != nil {
		c.tellRouting(ctx, s.Build)
	}
	return s
}

// build compares the version of this worker with the versions that get the task queue's tasks. The caller
// must hold c.mu.
func (c *Connection) build() *Build {
	b := &Build{ID: c.options.BuildID}
	if b.ID != "" {
		b.Deployment = c.options.DeploymentName
	}
	if c.queue == nil {
		return b
	}
	info := c.queue.GetVersioningInfo()
	current, ramping := info.GetCurrentDeploymentVersion(), info.GetRampingDeploymentVersion()
	if current != nil {
		b.CurrentBuild = current.GetDeploymentName() + " " + current.GetBuildId()
	}
	is := current.GetDeploymentName() == b.Deployment && current.GetBuildId() == b.ID
	b.Current = &is
	if !is && ramping.GetDeploymentName() == b.Deployment && ramping.GetBuildId() == b.ID {
		b.Ramping = info.GetRampingVersionPercentage()
	}
	return b
}

// tellRouting tells the log if Temporal gives this worker no tasks.
func (c *Connection) tellRouting(ctx context.Context, b *Build) {
	if b.Current == nil {
		return
	}
	if *b.Current || b.Ramping > 0 {
		c.routing.Succeeded(ctx, "deployment", b.Deployment, "build", b.ID)
		return
	}
	c.routing.Failed(ctx, b.CurrentBuild, "problem", b.remedy(), "task_queue", c.options.TaskQueue)
}

// remedy says what to do about a build that is not current.
func (b *Build) remedy() string {
	others := "workers without WORKER_BUILD_ID"
	if b.CurrentBuild != "" {
		others = "the deployment and build " + b.CurrentBuild
	}
	if b.ID == "" {
		return fmt.Sprintf("tasks go to %s: set WORKER_BUILD_ID and WORKER_DEPLOYMENT_NAME for this worker, or stop it if newer ones have replaced it", others)
	}
	return fmt.Sprintf("tasks go to %s: make the build of WORKER_BUILD_ID current with `temporal worker deployment set-current-version --deployment-name %s --build-id %s`, "+
		"or stop this worker if a newer build has replaced it", others, b.Deployment, b.ID)
}

// Err returns an error with a remedy unless a worker in this process polls the task queue.
func (s State) Err() error {
	if s.Problem != "" {
		return errors.New(s.Problem)
	}
	if !s.Polls {
		return fmt.Errorf("the worker does not poll the task queue %q yet: its log says what it waits for", s.TaskQueue)
	}
	return nil
}

// Watch calls Look at an interval until ctx ends. So the log tells when Temporal is unavailable and when it
// is back, even while this process makes no other calls.
func (c *Connection) Watch(ctx context.Context) {
	for pause := watchFirst; ; pause = watchEvery {
		c.Look(ctx)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

func (c *Connection) address() string {
	return cmp.Or(c.options.Client.HostPort, client.DefaultHostPort)
}

func (c *Connection) namespace() string {
	return cmp.Or(c.options.Client.Namespace, client.DefaultNamespace)
}
