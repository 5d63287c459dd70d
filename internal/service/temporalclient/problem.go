package temporalclient

import (
	"errors"
	"fmt"
	"strings"

	"go.temporal.io/api/serviceerror"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// problem describes why Temporal cannot be used.
type problem struct {
	kind   string
	remedy string // what is wrong, with which setting, and what to do
}

// These are the kinds of problems.
const (
	unreachable = "unreachable"
	silent      = "silent"
	wrongTLS    = "tls"
	noNamespace = "namespace"
	denied      = "denied"
)

// endedBy reports whether the problem is over because Temporal has answered a call. answered is the method of
// that call, and failed is the method of the call that had the problem.
func (p *problem) endedBy(answered, failed string) bool {
	if answered == failed {
		return true
	}
	switch p.kind {
	case denied:
		return false // Temporal may allow the answered method and still refuse the failed one
	case noNamespace:
		return strings.HasPrefix(answered, workflowService) && !strings.HasSuffix(answered, "/GetSystemInfo")
	}
	return true
}

// explain returns the problem of the connection if a call of the method returned err. It returns nil if the
// error concerns only that call.
func (c *Connection) explain(method string, err error) *problem {
	address, namespace := c.address(), c.namespace()
	text := err.Error()
	switch status.Code(err) {
	case codes.Unavailable:
		return c.explainConnection(address, text)
	case codes.DeadlineExceeded:
		return &problem{silent, fmt.Sprintf("the server at %s (TEMPORAL_ADDRESS) does not answer in time: check that it is healthy and not overloaded", address)}
	case codes.Unauthenticated, codes.PermissionDenied:
		if !needed(method) {
			return nil
		}
		return &problem{denied, fmt.Sprintf("the server refuses access to the namespace %q (TEMPORAL_NAMESPACE): set TEMPORAL_API_KEY, or TEMPORAL_TLS_CLIENT_CERT_PATH and TEMPORAL_TLS_CLIENT_KEY_PATH, "+
			"to credentials that may read and write it", namespace)}
	}
	var missing *serviceerror.NamespaceNotFound
	if errors.As(serviceerror.FromStatus(status.Convert(err)), &missing) {
		return &problem{noNamespace, fmt.Sprintf("the namespace %q does not exist at %s: set TEMPORAL_NAMESPACE to one that does, or create it with `temporal operator namespace create --namespace %s`",
			namespace, address, namespace)}
	}
	return nil
}

// needed reports whether exports need a method. The service can do without the other methods: they describe
// something, or create what an operator may have created already.
func needed(method string) bool {
	name, found := strings.CutPrefix(method, workflowService)
	return found && !strings.HasPrefix(name, "Describe") && !strings.HasPrefix(name, "RecordWorkerHeartbeat")
}

// explainConnection explains why a connection could not be made. It searches the text, because gRPC returns
// the errors of TLS only as text.
func (c *Connection) explainConnection(address, text string) *problem {
	says := func(parts ...string) bool {
		for _, part := range parts {
			if strings.Contains(text, part) {
				return true
			}
		}
		return false
	}
	switch {
	case says("first record does not look like a TLS handshake"):
		return &problem{wrongTLS, fmt.Sprintf("the server at %s does not speak TLS, but this process does: set TEMPORAL_TLS=false, unset TEMPORAL_API_KEY and the TEMPORAL_TLS_ variables, or correct TEMPORAL_ADDRESS", address)}
	case says("certificate required", "bad certificate", "unknown certificate authority", "handshake failure", "expired certificate"):
		return &problem{wrongTLS, fmt.Sprintf("the server at %s refuses the certificate of this process: set TEMPORAL_TLS_CLIENT_CERT_PATH and TEMPORAL_TLS_CLIENT_KEY_PATH to a certificate that it accepts", address)}
	case says("x509:", "failed to verify certificate"):
		return &problem{wrongTLS, fmt.Sprintf("the certificate of the server at %s is not valid for this process: set TEMPORAL_TLS_SERVER_CA_CERT_PATH to its authority, "+
			"or TEMPORAL_TLS_SERVER_NAME to the name in it", address)}
	case says("authentication handshake failed"):
		return &problem{wrongTLS, fmt.Sprintf("the TLS handshake with the server at %s fails: check TEMPORAL_ADDRESS and the TEMPORAL_TLS_ variables", address)}
	}
	c.mu.Lock()
	worked := c.worked
	c.mu.Unlock()
	// gRPC has no children to pick from if the name has no address.
	if !worked && !says("dial ", "name resolver", "zero addresses", "no children to pick from", "invalid target address") {
		hint := "set TEMPORAL_TLS=true if it expects TLS"
		if c.options.Client.ConnectionOptions.TLS != nil {
			hint = "set TEMPORAL_TLS_CLIENT_CERT_PATH and TEMPORAL_TLS_CLIENT_KEY_PATH if it expects a client certificate"
		}
		return &problem{wrongTLS, fmt.Sprintf("something at %s (TEMPORAL_ADDRESS) accepts connections, but does not answer as Temporal does: %s", address, hint)}
	}
	return &problem{unreachable, fmt.Sprintf("no Temporal server can be reached at %s: check that it runs, TEMPORAL_ADDRESS (host:port), and the network between", address)}
}
