package archive

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"memexport/internal/service/format"
	"memexport/internal/workshop/storetest"
)

// storeNames are the stores that the suite runs on. The build tag "stores" adds those that are servers.
var storeNames = []string{"file"}

func TestMain(m *testing.M) {
	code := m.Run()
	storetest.Stop()
	os.Exit(code)
}

// storeCase is what every store, or some, must do.
type storeCase struct {
	name string
	on   func(store string) bool // nil for all
	run  func(c *inStore)
}

// TestStores is the one suite for all stores. Each case has an empty bucket.
func TestStores(t *testing.T) {
	var cases []storeCase
	for _, list := range [][]storeCase{partCases, composeCases, errorCases, connectionCases, diskCases} {
		cases = append(cases, list...)
	}
	for _, name := range storeNames {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // the stores, not the cases: they change what they have in common
			for _, c := range cases {
				if c.on != nil && !c.on(name) {
					continue
				}
				t.Run(c.name, func(t *testing.T) { c.run(openStore(t, storetest.New(t, name))) })
			}
		})
	}
}

func onServers(store string) bool { return store != "file" }
func onFiles(store string) bool   { return store == "file" }

// inStore is an archive in a store.
type inStore struct {
	*testing.T
	*Archive
	store *storetest.Store
}

func openStore(t *testing.T, store *storetest.Store) *inStore {
	t.Helper()
	store.Setenv(t)
	a, err := Open(t.Context(), store.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return &inStore{T: t, Archive: a, store: store}
}

// hasty makes the archive lose patience soon.
func (c *inStore) hasty() *inStore {
	c.patience = patience{stall: 2 * time.Second, call: 5 * time.Second}
	return c
}

// put stores a part of range 0 that has to succeed.
func (c *inStore) put(number int, data []byte) Part {
	c.Helper()
	return put(c.T, c.Archive, number, data)
}

// noise is n bytes, different for each seed.
func noise(n int, seed uint64) []byte {
	data := make([]byte, n)
	random := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	_, _ = random.Read(data) // it never fails
	return data
}

// wantObjects says which objects are in the bucket, all whole.
func (c *inStore) wantObjects(parts ...Part) {
	c.Helper()
	got := c.store.Objects(c.T)
	if len(got) != len(parts) {
		c.Errorf("the bucket has %d objects, not %d: %.300v", len(got), len(parts), got)
	}
	for _, p := range parts {
		if size, ok := got[p.Object]; !ok || size != p.objectSize() {
			c.Errorf("the bucket has %d bytes as %s, not %d (%v)", size, p.Object, p.objectSize(), ok)
		}
	}
	if uploads := c.store.Uploads(c.T); len(uploads) > 0 {
		c.Errorf("%d unfinished uploads are left: %v", len(uploads), uploads)
	}
}

// wantFile reads the file that parts make, and its digest, and compares it.
func (c *inStore) wantFile(want []byte, parts ...Part) {
	c.Helper()
	file := c.File(c.Context(), marks, parts)
	defer file.Close()
	got := make([]byte, file.Size())
	if n, err := io.ReadFull(file, got); err != nil || !bytes.Equal(got, want) {
		c.Errorf("%d bytes of %d are read, %v", n, len(want), err)
	}
	digest, err := c.Extend(c.Context(), marks, Digest{}, parts)
	if err != nil {
		c.Error(err)
		return
	}
	checkDigest(c.T, digest, marks, len(parts), sum(want), int64(len(want)))
}

// joined is the file that the contents of parts make.
func joined(f *format.Format, contents ...[]byte) []byte {
	return append(append([]byte(f.Prefix), bytes.Join(contents, []byte(f.Separator))...), f.Suffix...)
}
