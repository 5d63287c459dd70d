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

func TestMain(m *testing.M) {
	code := m.Run()
	storetest.Stop()
	os.Exit(code)
}

// storeCase is a test that every store, or some stores, must pass.
type storeCase struct {
	name string
	on   func(store string) bool // whether the case runs on a store; nil for all stores
	run  func(c *inStore)
}

// TestStores runs one suite on all stores. Each case starts with an empty bucket.
func TestStores(t *testing.T) {
	var cases []storeCase
	for _, list := range [][]storeCase{partCases, composeCases, errorCases, connectionCases, diskCases} {
		cases = append(cases, list...)
	}
	for _, name := range storeNames {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // stores run in parallel; the cases of one store do not, because they change environment variables
			for _, c := range cases {
				if c.on != nil && !c.on(name) {
					continue
				}
				t.Run(c.name, func(t *testing.T) { c.run(openStore(t, storetest.New(t, name), Options{})) })
			}
		})
	}
}

func onServers(store string) bool { return store != "file" }
func onFiles(store string) bool   { return store == "file" }

// inStore is an archive in one of the stores, with the test that uses it.
type inStore struct {
	*testing.T
	*Archive
	store *storetest.Store
}

func openStore(t *testing.T, store *storetest.Store, options Options) *inStore {
	t.Helper()
	store.Setenv(t)
	a, err := Open(t.Context(), store.URL(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return &inStore{T: t, Archive: a, store: store}
}

// shortTimeouts are options with which an archive gives up soon if the store does not answer.
var shortTimeouts = Options{StallTimeout: 2 * time.Second, RequestTimeout: 5 * time.Second}

// put stores a part of range 0, which must succeed.
func (c *inStore) put(number int, data []byte) Part {
	c.Helper()
	return put(c.T, c.Archive, number, data)
}

// putNoise stores parts of range 0 that have these sizes, and returns them with their contents.
func (c *inStore) putNoise(sizes ...int) (parts []Part, contents [][]byte) {
	c.Helper()
	for i, size := range sizes {
		contents = append(contents, noise(size, uint64(i)))
		parts = append(parts, c.put(i, contents[i]))
	}
	return parts, contents
}

// noise returns n random bytes, which depend on the seed.
func noise(n int, seed uint64) []byte {
	data := make([]byte, n)
	random := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	_, _ = random.Read(data) // never fails
	return data
}

// wantObjects checks that the bucket holds exactly these parts, complete, and no unfinished upload.
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
		c.Errorf("%d unfinished uploads remain: %v", len(uploads), uploads)
	}
}

// wantFile checks the bytes and the digest of the file that parts form.
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

// joined returns the bytes of a file whose parts have these contents.
func joined(f *format.Format, contents ...[]byte) []byte {
	return append(append([]byte(f.Prefix), bytes.Join(contents, []byte(f.Separator))...), f.Suffix...)
}
