// Package storetest gives tests the stores that exports can be kept in: a directory, and real
// servers with the protocols of S3, Google Cloud Storage and Azure Blob Storage. The servers are
// built or installed once per user. Their versions are in tools/stores.
package storetest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"memexport/internal/workshop/devstack"
)

// Names are the names of all stores. New takes one of them.
var Names = []string{"file", "s3", "gcs", "azure"}

// Store is a bucket for one test. It is empty at first.
type Store struct {
	Name    string
	Bucket  string
	Address string // host:port of the server or of a proxy; "" if the store is a directory
	Dir     string // the path, if the store is a directory
	// Dead returns why the server has ended, or nil while the server runs. It is nil if the store
	// is a directory.
	Dead func() error
}

// New creates a bucket in the store with the given name. All tests of this process share one server
// per store.
func New(t testing.TB, name string) *Store {
	t.Helper()
	s := &Store{Name: name, Bucket: "exports-" + uuid.NewString()}
	if name == "file" {
		s.Dir = t.TempDir()
		return s
	}
	server, err := start(name)
	if err != nil {
		t.Fatalf("the store %s: %v", name, err)
	}
	s.Address, s.Dead = server.Address, server.Err
	s.Setenv(t)
	if err := s.Create(t.Context()); err != nil {
		t.Fatalf("make a bucket in the store %s: %v", name, err)
	}
	return s
}

// through returns a copy of the store that connects through a proxy.
func (s *Store) through(address string) *Store {
	proxied := *s
	proxied.Address = address
	return &proxied
}

// URL returns the store's BUCKET_URL.
func (s *Store) URL() string {
	switch s.Name {
	case "s3":
		return "s3://" + s.Bucket + "?" + url.Values{"endpoint": {"http://" + s.Address}, "region": {"us-east-1"}, "use_path_style": {"true"}}.Encode()
	case "gcs":
		return "gs://" + s.Bucket
	case "azure":
		return "azblob://" + s.Bucket + "?" + url.Values{"protocol": {"http"}, "domain": {s.Address}, "localemu": {"true"}}.Encode()
	}
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(s.Dir)}).String()
}

// This is the public account that every Azurite has. It is in Azurite's documentation.
const (
	azureAccount = "devstoreaccount1"
	azureKey     = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

// Env returns the environment variables that a process needs to open the bucket.
func (s *Store) Env() []string {
	switch s.Name {
	case "s3":
		return []string{"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=testsecret", "AWS_EC2_METADATA_DISABLED=true"}
	case "gcs":
		return []string{"STORAGE_EMULATOR_HOST=" + s.Address}
	case "azure":
		return []string{"AZURE_STORAGE_ACCOUNT=" + azureAccount, "AZURE_STORAGE_KEY=" + azureKey}
	}
	return nil
}

// Setenv sets the variables of Env in this process, so that code in this process can open the
// bucket. They stay set after the test.
func (s *Store) Setenv(t testing.TB) {
	t.Helper()
	for _, variable := range s.Env() {
		name, value, _ := strings.Cut(variable, "=")
		if err := os.Setenv(name, value); err != nil {
			t.Fatal(err)
		}
	}
}

// servers contains the running servers by the name of the store.
var servers = struct {
	sync.Mutex
	dir     string
	started map[string]*devstack.Server
}{started: map[string]*devstack.Server{}}

// start starts the server of a store, or Toxiproxy, unless that server is already running.
func start(name string) (*devstack.Server, error) {
	servers.Lock()
	defer servers.Unlock()
	if s := servers.started[name]; s != nil {
		return s, s.Err()
	}
	if servers.dir == "" {
		var err error
		if servers.dir, err = os.MkdirTemp("", "memexport-stores-"); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	dir := filepath.Join(servers.dir, name)
	if err := os.Mkdir(dir, 0o755); err != nil && !os.IsExist(err) {
		return nil, err
	}
	o, err := ServerOptions(ctx, name, dir)
	if err != nil {
		return nil, err
	}
	s, err := devstack.StartServer(ctx, o)
	if err == nil {
		servers.started[name] = s
	}
	return s, err
}

// Stop stops all servers and deletes their files. Call it at the end of TestMain.
func Stop() {
	servers.Lock()
	defer servers.Unlock()
	for _, s := range servers.started {
		s.Stop()
	}
	clear(servers.started)
	if servers.dir != "" {
		if err := os.RemoveAll(servers.dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}
