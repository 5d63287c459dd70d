package storetest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"memexport/internal/workshop/devstack"
)

// startTimeout limits how long a start may take. The first start also builds the server.
const startTimeout = 30 * time.Minute

const toxiproxy = "toxiproxy"

// goPrograms are the servers that are written in Go. The keys are the names that the function start
// takes.
var goPrograms = map[string]struct{ name, pkg string }{
	"s3":      {"versitygw", "github.com/versity/versitygw/cmd/versitygw"},
	"gcs":     {"fake-gcs-server", "github.com/fsouza/fake-gcs-server"},
	toxiproxy: {"toxiproxy", "github.com/Shopify/toxiproxy/v2/cmd/server"},
}

// Prepare builds or installs all servers, so that no test has to wait for them. log prints progress
// messages.
func Prepare(ctx context.Context, log func(format string, args ...any)) error {
	for _, program := range goPrograms {
		if _, err := devstack.GoProgram(ctx, "stores", program.name, program.pkg, log); err != nil {
			return err
		}
	}
	_, err := devstack.NodePackages(ctx, "stores/azurite", log)
	return err
}

func report(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// ServerOptions returns the options with which devstack.StartServer starts the server of the store with the given name.
// The server keeps its state in dir or in memory. The first call builds the server.
func ServerOptions(ctx context.Context, name, dir string) (devstack.ServerOptions, error) {
	if name == "azure" {
		return azurite(ctx, dir)
	}
	program, err := devstack.GoProgram(ctx, "stores", goPrograms[name].name, goPrograms[name].pkg, report)
	if err != nil {
		return devstack.ServerOptions{}, err
	}
	o := devstack.ServerOptions{Name: goPrograms[name].name, Dir: dir}
	switch name {
	case "s3":
		root, accounts := filepath.Join(dir, "buckets"), filepath.Join(dir, "accounts")
		sidecar := filepath.Join(dir, "attributes") // versitygw keeps attributes here, because some file systems have no extended attributes
		o.Command = func(port int) []string {
			return []string{program, "--access", "test", "--secret", "testsecret", "--port", address(port), "--quiet", "--keep-alive",
				"--iam-dir", accounts, "posix", "--sidecar", sidecar, root}
		}
		o.Ready = answers("/")
		return o, errors.Join(os.MkdirAll(root, 0o755), os.MkdirAll(sidecar, 0o755), os.MkdirAll(accounts, 0o755))
	case "gcs":
		o.Command = func(port int) []string {
			return []string{program, "-scheme", "http", "-host", "127.0.0.1", "-port", strconv.Itoa(port), "-backend", "memory",
				"-public-host", "127.0.0.1", "-external-url", "http://" + address(port), "-log-level", "error"} // the host has no port, because clients also connect through proxies on other ports
		}
		o.Ready = answers("/storage/v1/b")
	case toxiproxy:
		o.Command = func(port int) []string { return []string{program, "-host", "127.0.0.1", "-port", strconv.Itoa(port)} }
		o.Ready = answers("/version")
	default:
		return o, fmt.Errorf("there is no store %q", name)
	}
	return o, nil
}

func azurite(ctx context.Context, dir string) (devstack.ServerOptions, error) {
	node, err := exec.LookPath("node")
	if err != nil {
		return devstack.ServerOptions{}, fmt.Errorf("%w; put Node.js on PATH (apt-get install nodejs npm)", err)
	}
	packages, err := devstack.NodePackages(ctx, "stores/azurite", report)
	if err != nil {
		return devstack.ServerOptions{}, err
	}
	program := filepath.Join(packages, "node_modules", "azurite", "dist", "src", "blob", "main.js")
	return devstack.ServerOptions{Name: "azurite", Dir: dir, Ready: answers("/"), Command: func(port int) []string {
		return []string{node, program, "--inMemoryPersistence", "--disableTelemetry", "--skipApiVersionCheck", "--silent",
			"--blobHost", "127.0.0.1", "--blobPort", strconv.Itoa(port)}
	}}, nil
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// answers returns a Ready function that succeeds if the server answers a GET of the path, even with
// an error status.
func answers(path string) func(context.Context, string) error {
	return func(ctx context.Context, address string) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		return response.Body.Close()
	}
}
