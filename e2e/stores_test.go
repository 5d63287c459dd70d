//go:build stores

package e2e

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"
	temporalclient "go.temporal.io/sdk/client"

	"memexport/internal/workshop/await"
	"memexport/internal/workshop/devstack"
	"memexport/internal/workshop/storetest"
)

// storeMemories is enough for a file with several parts.
const storeMemories = 9000

// storeWorkspace is the workspace whose memories are exported to every store. The files in all stores
// must be the same.
const storeWorkspace = "7f3b6c1e-9f0a-4c5e-8d57-0d9f6f7a1b22"

// inStore is a stack that keeps its exports in one of the stores.
type inStore struct {
	*stack
	tenant
	store    *storetest.Store
	faults   *storetest.Faults // a proxy in front of the store; nil if the store is a directory
	temporal *devstack.Temporal
}

// storeCases run on each store. They run one after the other on the same stack.
var storeCases = []struct {
	name string
	on   func(*inStore) bool // reports whether to run the case on a store; nil means on every store
	run  func(*testing.T, *inStore)
}{
	{"purge_leaves_nothing", nil, purgeLeavesNothing},
	{"delete_while_running", nil, deleteWhileRunning},
	{"busy_store_is_waited_for", hasFaults, busyStoreIsWaitedFor},
	{"refusal_fails_the_export", hasFaults, refusalFailsTheExport},
	{"broken_download_is_continued_or_refused", hasFaults, brokenDownload},
	{"worker_checks_writing", hasFaults, workerChecksWriting},
	{"read_only_token", func(s *inStore) bool { return s.store.Name == "azure" }, readOnlyToken},
	{"downloads_from_the_store", func(s *inStore) bool { return s.store.Name == "s3" }, downloadsFromTheStore},
}

func hasFaults(s *inStore) bool { return s.faults != nil }

func TestStores(t *testing.T) {
	t.Cleanup(storetest.Stop)
	digests := map[string]string{} // for each format, the digest of the file from the first store
	for _, name := range storetest.Names {
		t.Run(name, func(t *testing.T) {
			s := newInStore(t, name)
			t.Run("same_file_from_every_store", func(t *testing.T) {
				for format := range formats {
					e := s.ready(t, s.create(t, "format="+format).ID, 2*time.Minute)
					same(t, "memory_count", e.MemoryCount, storeMemories)
					if parts := s.objectsOf(t, e.ID); len(parts) < 2 {
						t.Errorf("the file has %d parts, so this tests no border between parts", len(parts))
					}
					digest := s.contentDigest(t, e)
					if digests[format] == "" {
						digests[format] = digest
					}
					same(t, "the digest of the file as "+format, digest, digests[format])
				}
			})
			for _, c := range storeCases {
				if c.on == nil || c.on(s) {
					t.Run(c.name, func(t *testing.T) { c.run(t, s) })
				}
			}
		})
	}
}

func newInStore(t *testing.T, name string, env ...string) *inStore {
	t.Helper()
	s := &inStore{store: storetest.New(t, name)}
	seen := s.store // the store as the stack reaches it: through the proxy, if there is one
	if name != "file" {
		s.faults = s.store.NewFaults(t)
		seen = s.faults.Store
	}
	dir := newDir(t, "store-"+s.store.Bucket)
	s.temporal = startTemporal(t, devstack.TemporalOptions{Dir: dir, InMemory: true})
	env = append(append(env, seen.Env()...), "BUCKET_URL="+seen.URL(), "TEMPORAL_ADDRESS="+s.temporal.Address, "EXPORT_GRACE=1s", "RECONCILE_EVERY=2s")
	s.stack = newDev(t, devOptions{dir: dir, memories: 1000, env: env})
	s.tenant = tenant{client: newClient(s.url(), createKey(t, s.database, storeWorkspace, "export.read", "export.write")), workspace: storeWorkspace}
	generate(t, s.db, storeWorkspace, storeMemories, 2000)
	execute(t, s.db, `UPDATE memories SET last_accessed_at = created_at WHERE workspace_id = $1 AND last_accessed_at IS NOT NULL`, storeWorkspace)
	return s
}

func (s *inStore) url() string { return s.stack.url }

// objectsOf returns the keys of an export's objects, including unfinished uploads and temporary
// files.
func (s *inStore) objectsOf(t *testing.T, exportID string) []string {
	t.Helper()
	keys := s.store.Uploads(t)
	for key := range s.store.Objects(t) {
		keys = append(keys, key)
	}
	return slices.DeleteFunc(keys, func(key string) bool { return !strings.Contains(key, exportID) })
}

func purgeLeavesNothing(t *testing.T, s *inStore) {
	e := s.ready(t, s.create(t, "format=csv").ID, 2*time.Minute)
	if len(s.objectsOf(t, e.ID)) == 0 {
		t.Error("a READY export has no object")
	}
	s.expire(t, e)
}

// expire makes an export expire at once. It waits until all objects of the export are deleted.
func (s *inStore) expire(t *testing.T, e object) {
	t.Helper()
	c, err := temporalclient.Dial(temporalclient.Options{HostPort: s.temporal.Address})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	await.True(t, time.Minute, "its workflow lets it expire", func() bool { // retry, because the row becomes READY shortly before the workflow accepts this update
		update, err := c.UpdateWorkflow(t.Context(), temporalclient.UpdateWorkflowOptions{WorkflowID: "export-" + e.ID,
			UpdateName: "expire-now", WaitForStage: temporalclient.WorkflowUpdateStageCompleted})
		return err == nil && update.Get(t.Context(), nil) == nil
	})
	await.True(t, time.Minute, "the export is EXPIRED", func() bool { return s.get(t, e.ID).Status == "EXPIRED" })
	await.True(t, time.Minute, "no object of the export is left", func() bool { return len(s.objectsOf(t, e.ID)) == 0 })
}

func deleteWhileRunning(t *testing.T, s *inStore) {
	if s.faults != nil { // hold every upload after the first
		var mu sync.Mutex
		parts := 0
		s.faults.Set(func(r *http.Request) (f storetest.Fault) {
			mu.Lock()
			defer mu.Unlock()
			if uploads(r) {
				if parts++; parts > 1 {
					f.Until = t.Context().Done()
				}
			}
			return f
		})
		defer s.faults.Set(func(*http.Request) storetest.Fault { return storetest.Fault{} })
	}
	e := s.create(t, "format=json")
	await.True(t, time.Minute, "a part is in the store", func() bool { return len(s.objectsOf(t, e.ID)) > 0 })
	status := s.get(t, e.ID).Status
	s.do(t, "DELETE", "/v1/exports/"+e.ID).want(t, 204)
	t.Logf("the export was %s when it was deleted", status)
	if s.faults != nil {
		same(t, "the status", status, "PROCESSING")
	}
	s.wantPurged(t, e.ID)
}

// wantPurged waits until a deleted export is marked as purged. It fails the test if objects of the
// export are left.
func (s *inStore) wantPurged(t *testing.T, id string) {
	t.Helper()
	await.True(t, time.Minute, "the export is purged", func() bool {
		var purged bool
		if err := s.db.QueryRow(`SELECT purged_at IS NOT NULL FROM memexport.exports WHERE id = $1`, id).Scan(&purged); err != nil {
			t.Fatal(err)
		}
		return purged
	})
	if left := s.objectsOf(t, id); len(left) > 0 {
		t.Errorf("these objects of a deleted export are left: %v", left)
	}
}

// uploads reports whether a request uploads data to the store.
func uploads(r *http.Request) bool { return r.Method == http.MethodPut || r.Method == http.MethodPost }

// refuse makes some requests to the store fail until the end of the test. If which(r) is true, the request r
// gets the fault.
func (s *inStore) refuse(t *testing.T, which func(*http.Request) bool, fault storetest.Fault) {
	s.faults.Set(func(r *http.Request) storetest.Fault {
		if which(r) {
			return fault
		}
		return storetest.Fault{}
	})
	t.Cleanup(func() { s.faults.Set(func(*http.Request) storetest.Fault { return storetest.Fault{} }) })
}

func busyStoreIsWaitedFor(t *testing.T, s *inStore) {
	s.refuse(t, uploads, storetest.Fault{Status: http.StatusServiceUnavailable})
	e := s.create(t, "format=csv")
	await.True(t, time.Minute, "the store was asked several times", func() bool { return s.faults.Answers() >= 5 })
	same(t, "the status meanwhile", s.get(t, e.ID).Status, "PROCESSING")
	s.faults.Set(func(*http.Request) storetest.Fault { return storetest.Fault{} })
	e = s.ready(t, e.ID, 2*time.Minute)
	s.digest(t, e)
}

func refusalFailsTheExport(t *testing.T, s *inStore) {
	s.refuse(t, uploads, storetest.Fault{Status: http.StatusForbidden})
	e := s.create(t, "format=csv")
	await.True(t, time.Minute, "the export is FAILED", func() bool { e = s.get(t, e.ID); return e.Status == "FAILED" })
	if e.Error == nil || e.Error.Code != "STORAGE_DENIED" || e.Error.Retryable {
		t.Errorf("the failure is %+v", e.Error)
	}
	s.do(t, "GET", "/v1/exports/"+e.ID+"/download").problem(t, 409, "EXPORT_FAILED")
}

func brokenDownload(t *testing.T, s *inStore) {
	e := s.ready(t, s.create(t, "format=csv").ID, 2*time.Minute)
	reads := func(r *http.Request) bool { return r.Method == http.MethodGet && strings.Contains(r.URL.Path, e.ID) }
	// The proxy cuts every response after 3 MB. The API must then request the rest.
	s.refuse(t, reads, storetest.Fault{CutAfter: 3_000_000})
	s.digest(t, e)
	s.refuse(t, reads, storetest.Fault{Status: http.StatusForbidden})
	if a, err := s.try(t.Context(), "GET", "/v1/exports/"+e.ID+"/download"); err != nil || a.status < 500 {
		t.Errorf("the download of a file that cannot be read was answered with %v, %+v", err, a)
	}
}

func workerChecksWriting(t *testing.T, s *inStore) {
	s.refuse(t, uploads, storetest.Fault{Status: http.StatusForbidden})
	env := append(s.faults.Env(), "BUCKET_URL="+s.faults.URL(), "TEMPORAL_ADDRESS="+s.temporal.Address, "DATABASE_URL="+s.database)
	refuses(t, env, []string{"worker"}, "BUCKET_URL", "cannot write", "docs/stores.md")
}

// The API must work with a token that only allows reading. A worker must refuse to start, since it
// also writes. The token is in every URL of a request to the store, so it could appear in an error
// message.
func readOnlyToken(t *testing.T, s *inStore) {
	e := s.ready(t, s.create(t, "format=csv").ID, 2*time.Minute)
	url, env, token := s.store.WithSAS(t, sas.ContainerPermissions{Read: true, List: true})
	env = append(env, "BUCKET_URL="+url, "TEMPORAL_ADDRESS="+s.temporal.Address, "DATABASE_URL="+s.database, "HTTP_ADDR=127.0.0.1:0")
	api := launch(t, env, "api")
	same(t, "the file", s.at(apiURL(t, api)).digest(t, e), *e.SHA256)
	refuses(t, env, []string{"worker"}, "BUCKET_URL", "cannot write", "docs/stores.md")

	env = append(env, "AZURE_STORAGE_DOMAIN=127.0.0.1:1") // nothing listens at this address
	down := launch(t, env, "api")
	down.wantCode(t, 1)
	for what, p := range map[string]*command{"the API": api, "the API without a store": down} {
		absent(t, "the output of "+what, []byte(p.Output()), token[strings.Index(token, "sig=")+4:], "sig=")
	}
	if !strings.Contains(down.Output(), "BUCKET_URL") {
		t.Errorf("an API without a store does not name the setting:\n%s", down.Output())
	}
}
