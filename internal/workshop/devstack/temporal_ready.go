package devstack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
)

const temporalNamespace = "default"

// announced matches what the CLI prints once its server listens. If a version of the CLI prints something
// different, waitReady waits for announceTimeout and then connects to the server anyway. A server that
// cannot listen dies before announceTimeout has passed.
var announced = regexp.MustCompile(`(?m)^(Temporal )?Server:\s`)

const announceTimeout = 5 * time.Second

// waitReady returns once the frontend answers for the namespace.
func (t *Temporal) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, temporalStartTimeout, fmt.Errorf("no answer after %v", temporalStartTimeout))
	defer cancel()
	began := time.Now()
	return t.process.WaitReady(ctx, func(ctx context.Context) error {
		// If another server took the port, that server would answer here, while our server is about
		// to die. So wait until our server says that it listens.
		if !announced.MatchString(t.process.Output()) && time.Since(began) < announceTimeout {
			return errors.New("it has not said that it listens")
		}
		return t.ask(ctx)
	})
}

// ask asks the server for the namespace. It dials anew every time, because after a refused connection a
// gRPC client waits a second before it tries again.
func (t *Temporal) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	c, err := client.DialContext(ctx, client.Options{
		HostPort:  t.Address,
		Namespace: temporalNamespace,
		Logger:    sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: temporalNamespace})
	return err
}
