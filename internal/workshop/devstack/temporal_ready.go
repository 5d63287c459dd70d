package devstack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
)

const temporalNamespace = "default"

// announced matches what the CLI prints once its server listens. If a version of the CLI prints
// something different, waitReady connects to the server anyway after announceTimeout. A server that
// cannot listen dies sooner than that.
var announced = regexp.MustCompile(`(?m)^(Temporal )?Server:\s`)

const announceTimeout = 5 * time.Second

// errAttributeType means that a search attribute exists already with another type. The type of a
// search attribute cannot be changed.
var errAttributeType = errors.New("a search attribute of an earlier run has another type")

// waitReady returns once the frontend answers requests about the namespace and the search
// attributes are registered.
func (t *Temporal) waitReady(ctx context.Context, attributes map[string]string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, temporalStartTimeout, fmt.Errorf("no answer after %v", temporalStartTimeout))
	defer cancel()
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	began := time.Now()
	return t.process.WaitReady(ctx, func(ctx context.Context) error {
		// If another server took the port, that server would answer here, while our server is about
		// to die. So wait until our server says that it listens.
		if !announced.MatchString(t.process.Output()) && time.Since(began) < announceTimeout {
			return errors.New("it has not said that it listens")
		}
		err := t.prepare(ctx, attributes)
		if errors.Is(err, errAttributeType) {
			giveUp(fmt.Errorf("%w; delete the temporal-*.db beside %s to begin with an empty state", err, t.LogFile))
		}
		return err
	})
}

// prepare tries once to reach the namespace and to register the search attributes. It creates a new
// gRPC connection every time, because after a failed dial a connection waits a second before it
// dials again.
func (t *Temporal) prepare(ctx context.Context, attributes map[string]string) error {
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
	if _, err := c.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: temporalNamespace}); err != nil {
		return err
	}
	return addAttributes(ctx, c, attributes)
}

// addAttributes registers the search attributes that are missing. The flag --search-attribute does
// not help here, because the server ignores the flag if it has an older state.
func addAttributes(ctx context.Context, c client.Client, attributes map[string]string) error {
	if len(attributes) == 0 {
		return nil
	}
	have, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: temporalNamespace})
	if err != nil {
		return fmt.Errorf("list the search attributes: %w", err)
	}
	missing := map[string]enums.IndexedValueType{}
	for name, kind := range attributes {
		want, err := enums.IndexedValueTypeFromString(kind)
		if err != nil {
			return err
		}
		switch got, ok := have.GetCustomAttributes()[name]; {
		case !ok:
			missing[name] = want
		case got != want:
			return fmt.Errorf("%w: %s is %v and should be %v", errAttributeType, name, got, want)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	_, err = c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
		Namespace: temporalNamespace, SearchAttributes: missing})
	if err != nil {
		return fmt.Errorf("register search attributes: %w", err)
	}
	return nil
}

// checkAttributeTypes returns an error for types that the server would reject, so that nothing is
// started in vain.
func checkAttributeTypes(attributes map[string]string) error {
	for name, kind := range attributes {
		if want, err := enums.IndexedValueTypeFromString(kind); err != nil || want == enums.INDEXED_VALUE_TYPE_UNSPECIFIED {
			return fmt.Errorf("search attribute %s: there is no type %q; use Text, Keyword, Int, Double, Bool, Datetime or KeywordList",
				name, kind)
		}
	}
	return nil
}
