// Command clients checks that third-party tools understand the OpenAPI documents. It generates
// clients with four generators, compiles them, and runs each against the real service. It also runs
// linters on the documents, and uses oasdiff to compare them with the last release.
//
//	make clients
//
// The generated code and the compiled clients go to bin/clients.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// documents are the OpenAPI documents by their OpenAPI version.
var documents = map[string]string{"3.1": "openapi/openapi.yaml", "3.0": "openapi/openapi-3.0.yaml"}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	began := time.Now()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "clients:", err)
		os.Exit(1)
	}
	fmt.Printf("\neverything took %s\n", time.Since(began).Round(time.Second))
}

func run(ctx context.Context) error {
	work, err := filepath.Abs("bin/clients")
	if err != nil {
		return err
	}
	if err := os.RemoveAll(work); err != nil {
		return err
	}
	if err := os.MkdirAll(work, 0o755); err != nil {
		return err
	}
	npm, err := installNode(ctx)
	if err != nil {
		return err
	}
	say("generate and compile")
	clients, err := makeClients(ctx, work, npm)
	if err != nil {
		return err
	}
	say("lint")
	if err := lint(ctx, work, npm); err != nil {
		return err
	}
	say("compare with the last release")
	if err := compare(ctx, work); err != nil {
		return err
	}
	say("start the service")
	s, err := startService(ctx)
	if err != nil {
		return err
	}
	rows, err := runClients(ctx, s, clients)
	if err == nil {
		printTable(rows)
	}
	return errors.Join(err, s.stop())
}

// runClients runs every client twice: against the service, and against proxies that imitate a later
// release.
func runClients(ctx context.Context, s *service, clients []*client) ([]row, error) {
	later, err := s.later(ctx)
	if err != nil {
		return nil, err
	}
	var rows []row
	for _, c := range clients {
		for _, release := range []struct {
			name        string
			environment []string
		}{{"as it is", s.environment()}, {"with new fields", later}} {
			say("run %s, OpenAPI %s, against the service %s", c.generator, c.document, release.name)
			calls, err := c.run(ctx, release.environment)
			if err != nil {
				return nil, fmt.Errorf("%s, OpenAPI %s, against the service %s: %w", c.generator, c.document, release.name, err)
			}
			rows = append(rows, row{client: c, service: release.name, calls: calls})
		}
	}
	return rows, nil
}

// makeClients creates a client with each generator from each document, two at a time.
func makeClients(ctx context.Context, work string, npm node) ([]*client, error) {
	var clients []*client
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(2)
	for _, g := range generators {
		for _, document := range []string{"3.1", "3.0"} {
			c := &client{generator: g.name, document: document, dir: filepath.Join(work, g.name+"-"+document)}
			clients = append(clients, c)
			group.Go(func() error {
				if err := g.make(ctx, c, npm); err != nil {
					return fmt.Errorf("%s, OpenAPI %s: %w", g.name, document, err)
				}
				return nil
			})
		}
	}
	return clients, group.Wait()
}

func say(format string, args ...any) { fmt.Printf("clients: "+format+"\n", args...) }
