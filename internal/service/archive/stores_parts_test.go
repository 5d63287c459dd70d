package archive

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing/iotest"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	eventually "memexport/internal/workshop/await"
	"memexport/internal/workshop/storetest"
)

// partCases are the cases that run on every store.
var partCases = []storeCase{
	{name: "parts_are_read_back", run: partsAreReadBack},
	{name: "compressed_parts", run: compressedParts},
	{name: "ranges_cross_borders", run: rangesCrossBorders},
	{name: "an_empty_export", run: anEmptyExport},
	{name: "2000_parts", run: twoThousandParts},
	{name: "delete_by_prefix", run: deleteByPrefix},
	{name: "list_for_the_sweep", run: listForTheSweep},
	{name: "the_loser_of_a_race", run: theLoserOfARace},
	{name: "cancel_during_an_upload", run: cancelDuringAnUpload},
	{name: "a_damaged_part", run: aDamagedPart},
	{name: "check_leaves_nothing", run: checkLeavesNothing},
	{name: "bucket_with_a_prefix", run: bucketWithAPrefix},
	{name: "parts_opened_ahead", on: onServers, run: partsOpenedAhead},
	{name: "the_next_part_of_a_download", on: onServers, run: theNextPartOfADownload},
	{name: "the_next_parts_of_a_fast_download", on: onServers, run: theNextPartsOfAFastDownload},
}

// theNextPartOfADownload checks that a download requests the next part when half of the current part has been
// read, and that it sends only one such request.
func theNextPartOfADownload(c *inStore) {
	const size = 100_000
	parts, contents := c.putNoise(slices.Repeat([]int{size}, 3)...)
	requested := map[string]chan struct{}{}
	for _, p := range parts {
		requested[p.Object] = make(chan struct{})
	}
	a, faults := faulty(c)
	faults.Set(func(r *http.Request) storetest.Fault {
		for object, told := range requested {
			if reads(r) && strings.Contains(r.URL.Path, object) {
				close(told) // a second request would panic
			}
		}
		return storetest.Fault{}
	})
	file := a.File(c.Context(), bare, parts)
	defer file.Close()
	got := make([]byte, len(parts)*size)
	read := func(from, to int) {
		c.Helper()
		if _, err := io.ReadFull(file, got[from:to]); err != nil {
			c.Fatal(err)
		}
	}
	wantNone := func(part int) {
		c.Helper()
		select {
		case <-requested[parts[part].Object]:
			c.Errorf("part %d was requested too early", part)
		case <-time.After(100 * time.Millisecond):
		}
	}
	read(0, size/2-1)
	wantNone(1)
	read(size/2-1, size/2)
	select {
	case <-requested[parts[1].Object]:
	case <-time.After(30 * time.Second):
		c.Fatal("the second part was not requested while the first one was read")
	}
	wantNone(2)
	read(size/2, len(got))
	if !bytes.Equal(got, bytes.Join(contents, nil)) {
		c.Error("the file differs")
	}
}

// theNextPartsOfAFastDownload checks that a download that waits for the store requests up to openAhead parts before
// it needs them, each only once, and that a part which fails ahead is requested again.
func theNextPartsOfAFastDownload(c *inStore) {
	const held, failing = 12, 17
	parts, contents := c.putNoise(slices.Repeat([]int{100_000}, 20)...)
	a, faults := faulty(c)
	release, failed := make(chan struct{}), false
	faults.Set(func(r *http.Request) storetest.Fault {
		if !reads(r) {
			return storetest.Fault{}
		}
		i := slices.IndexFunc(parts, func(p Part) bool { return strings.Contains(r.URL.Path, p.Object) })
		switch {
		case i == failing && !failed:
			failed = true
			return storetest.Fault{Status: http.StatusForbidden}
		case i == held:
			return storetest.Fault{Until: release}
		case i == held+openAhead-1: // so openAhead parts are requested
			time.AfterFunc(100*time.Millisecond, func() { close(release) })
		case i == held+openAhead:
			select {
			case <-release:
			default:
				c.Errorf("more than %d parts were requested ahead", openAhead)
			}
		}
		slow := make(chan struct{})
		time.AfterFunc(50*time.Millisecond, func() { close(slow) })
		return storetest.Fault{Until: slow}
	})
	file := a.File(c.Context(), bare, parts)
	defer file.Close()
	want := bytes.Join(contents, nil)
	got := make([]byte, len(want))
	for piece := range slices.Chunk(got, 10_000) { // small enough that some Read ends in the middle of each part
		if _, err := io.ReadFull(file, piece); err != nil {
			c.Fatal(err)
		}
	}
	if !bytes.Equal(got, want) {
		c.Error("the file differs")
	}
	if got := faults.Answers(); got != len(parts)+1 {
		c.Errorf("%d requests for %d parts, want one more because one failed", got, len(parts))
	}

	// Places for parts ahead are given back, also by a download that ends early, and without a place a download
	// opens one part ahead.
	if n := len(a.further); n != 0 {
		c.Errorf("%d places are taken after the download", n)
	}
	file = a.File(c.Context(), bare, parts)
	file.lead = openAhead
	if _, err := io.ReadFull(file, got[:60_000]); err != nil {
		c.Fatal(err)
	}
	if n := len(a.further); n != openAhead-1 {
		c.Errorf("%d places are taken, want %d", n, openAhead-1)
	}
	file.Close() //nolint:errcheck // it never fails
	eventually.True(c.T, 30*time.Second, "the places are given back", func() bool { return len(a.further) == 0 })
	for range furtherAhead {
		a.further <- struct{}{}
	}
	file = a.File(c.Context(), bare, parts)
	defer file.Close()
	file.lead = openAhead
	if _, err := io.ReadFull(file, got[:60_000]); err != nil {
		c.Fatal(err)
	}
	if n := len(file.ahead); n != 1 {
		c.Errorf("%d parts are opened ahead without a place, want 1", n)
	}
}

// partsOpenedAhead checks that verification opens the next parts while the store has not answered yet, each
// only once, and that it closes them when it fails.
func partsOpenedAhead(c *inStore) {
	parts, contents := c.putNoise(slices.Repeat([]int{100_000}, 7)...)
	a, faults := faulty(c)
	opened, release := 0, make(chan struct{})
	faults.Set(func(r *http.Request) storetest.Fault {
		if !reads(r) {
			return storetest.Fault{}
		}
		if opened++; opened == 1+openAhead {
			close(release)
		}
		return storetest.Fault{Until: release}
	})
	digest, err := a.Extend(c.Context(), marks, Digest{}, parts)
	if err != nil {
		c.Fatal(err)
	}
	checkDigest(c.T, digest, marks, len(parts), sum(joined(marks, contents...)), int64(len(joined(marks, contents...))))
	if got := faults.Answers(); got != len(parts) {
		c.Errorf("%d parts were opened with %d requests", len(parts), got)
	}
	never := make(chan struct{})
	defer close(never)
	faults.Set(func(r *http.Request) storetest.Fault {
		if strings.Contains(r.URL.Path, parts[0].Object) {
			return storetest.Fault{Status: http.StatusForbidden}
		}
		return storetest.Fault{Until: never}
	})
	if _, err := a.Extend(c.Context(), marks, Digest{}, parts); !Denied(err) {
		c.Errorf("the error is %v, want a refusal", err)
	}
}

func sum(data []byte) []byte {
	s := sha256.Sum256(data)
	return s[:]
}

func partsAreReadBack(c *inStore) {
	parts, contents := c.putNoise(1, 100, 8<<20, 8<<20+1, 5<<20, 17<<20) // sizes around those at which SDKs split uploads
	again := c.put(2, contents[2])
	if again != parts[2] {
		c.Errorf("a repeated part is %+v, was %+v", again, parts[2])
	}
	c.wantObjects(parts...)
	c.wantFile(joined(marks, contents...), parts...)
}

func compressedParts(c *inStore) {
	c.Archive = compressing(c.Archive)
	var parts []Part
	var contents [][]byte
	for i, size := range []int{1, 1000, 9 << 20} {
		text := bytes.Repeat([]byte("The user prefers tea. "), size/22+1)[:size]
		contents = append(contents, text)
		parts = append(parts, c.put(i, text))
		contents = append(contents, noise(size, uint64(i)))
		parts = append(parts, c.put(i+3, contents[len(contents)-1]))
	}
	c.wantObjects(parts...)
	whole := joined(marks, contents...)
	c.wantFile(whole, parts...)
	member, ok := c.GzipFile(c.Context(), marks, parts)
	if !ok {
		c.Fatal("compressed parts have no gzip file")
	}
	defer member.Close()
	r, err := gzip.NewReader(member)
	if err != nil {
		c.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, whole) {
		c.Errorf("%d bytes as gzip instead of %d: %v", len(got), len(whole), err)
	}
}

func rangesCrossBorders(c *inStore) {
	random := rand.New(rand.NewPCG(7, 8))
	parts, whole := stored(c.T, c.Archive, marks, random, 7)
	some, content := stored(c.T, c.Archive, marks, random, 3)
	if err := iotest.TestReader(c.File(c.Context(), marks, some), content); err != nil {
		c.Error(err)
	}
	file := c.File(c.Context(), marks, parts)
	defer file.Close()
	var borders []int64
	for _, s := range file.segments {
		borders = append(borders, s.start)
	}
	borders = append(borders, file.size)
	for _, border := range borders {
		for _, around := range []int64{-2, -1, 0, 1} {
			for _, length := range []int64{1, 2, 5, 100, 80_000} {
				from := max(border+around, 0)
				to := min(from+length, int64(len(whole)))
				if from >= to {
					continue
				}
				got := make([]byte, to-from)
				if _, err := file.Seek(from, io.SeekStart); err != nil {
					c.Fatal(err)
				}
				if _, err := io.ReadFull(file, got); err != nil || !bytes.Equal(got, whole[from:to]) {
					c.Fatalf("bytes %d to %d of %d: %v", from, to, len(whole), err)
				}
			}
		}
	}
	for _, beyond := range []int64{0, 1, 1000} {
		if _, err := file.Seek(beyond, io.SeekEnd); err != nil {
			c.Fatal(err)
		}
		if n, err := file.Read(make([]byte, 10)); n != 0 || err != io.EOF {
			c.Errorf("%d past the end: %d, %v", beyond, n, err)
		}
	}
}

func anEmptyExport(c *inStore) {
	c.wantFile(joined(marks))
	if last, err := c.LastWritten(c.Context(), exportID); err != nil || !last.IsZero() {
		c.Errorf("LastWritten of no objects: %v, %v", last, err)
	}
	if err := c.DeleteExport(c.Context(), exportID); err != nil {
		c.Error(err)
	}
	if err := c.Exports(c.Context(), func(id string) error { return errors.New(id) }); err != nil {
		c.Error("an empty bucket has", err)
	}
	empty := c.put(0, nil)
	c.wantObjects(empty)
	c.wantFile(joined(marks, nil), empty)
}

func twoThousandParts(c *inStore) {
	const n = 2000 // as many as two pages of a listing hold
	parts, contents := make([]Part, n), make([][]byte, n)
	var group errgroup.Group
	group.SetLimit(16)
	for i := range n {
		group.Go(func() (err error) {
			contents[i] = []byte(fmt.Sprintf("part %d of many", i))
			parts[i], err = c.Put(c.Context(), exportID, i%64, i, contents[i])
			return err
		})
	}
	if err := group.Wait(); err != nil {
		c.Fatal(err)
	}
	c.wantObjects(parts...)
	c.wantFile(joined(marks, contents...), parts...)
	for range 3 { // an erasure and a purge may delete the same export at once
		group.Go(func() error { return c.DeleteExport(c.Context(), exportID) })
	}
	if err := group.Wait(); err != nil {
		c.Fatal(err)
	}
	c.wantObjects()
}

func deleteByPrefix(c *inStore) {
	for i := range 40 {
		c.put(i, []byte("data"))
	}
	c.put(3, []byte("orphan"))
	other, err := c.Put(c.Context(), exportID+"0", 0, 0, []byte("an export whose ID begins with the other ID"))
	if err != nil {
		c.Fatal(err)
	}
	for range 2 { // the second deletion finds nothing, which is not an error
		if err := c.DeleteExport(c.Context(), exportID); err != nil {
			c.Fatal(err)
		}
		c.wantObjects(other)
	}
	c.put(0, []byte("again"))
	if err := c.DeleteExport(cancelled(), exportID); err == nil && len(c.store.Objects(c.T)) != 1 {
		c.Error("a cancelled deletion reports success but left objects")
	}
}

func listForTheSweep(c *inStore) {
	before := time.Now().Add(-2 * time.Second) // some stores round to whole seconds
	var want []string
	for range 5 {
		id := uuid.NewString()
		want = append(want, id)
		for i := range 3 {
			if _, err := c.Put(c.Context(), id, i, i, []byte("data")); err != nil {
				c.Fatal(err)
			}
		}
	}
	bucket := c.store.Open(c.T)
	for _, key := range []string{"exports/file", "elsewhere/" + uuid.NewString() + "/x", "exports/no-uuid/x"} { // objects that are not part of an export
		if err := bucket.WriteAll(c.Context(), key, []byte("x"), nil); err != nil {
			c.Fatal(err)
		}
	}
	var got []string
	if err := c.Exports(c.Context(), func(id string) error { got = append(got, id); return nil }); err != nil {
		c.Fatal(err)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		c.Errorf("listed %v, want %v", got, want)
	}
	last, err := c.LastWritten(c.Context(), want[0])
	if err != nil || last.Before(before) || last.After(time.Now().Add(2*time.Second)) {
		c.Errorf("written at %v, %v", last, err)
	}
}

func theLoserOfARace(c *inStore) {
	won, lost := noise(100_000, 1), noise(100_001, 2)
	loser, winner := c.put(5, lost), c.put(5, won)
	late := c.put(5, lost) // the losing attempt writes its object again, after the winning one
	if loser == winner || late != loser {
		c.Fatalf("%+v, %+v, %+v", loser, winner, late)
	}
	c.wantObjects(loser, winner)
	c.wantFile(joined(marks, won), winner)
}

func cancelDuringAnUpload(c *inStore) {
	if _, err := c.Put(cancelled(), exportID, 0, 0, []byte("data")); !errors.Is(err, context.Canceled) {
		c.Errorf("Put: %v", err)
	}
	c.wantObjects()
	for i, size := range []int{16<<20 - 1, 20 << 20} { // larger than the buffers on the way to the store
		a, ctx := c.Archive, c.Context()
		if onServers(c.store.Name) {
			a, ctx = cancelAtUpload(c)
		} else {
			var cancel context.CancelFunc
			ctx, cancel = context.WithCancel(ctx)
			time.AfterFunc(time.Millisecond, cancel)
		}
		part, err := a.Put(ctx, exportID, 0, i, noise(size, uint64(i)))
		switch {
		case err == nil && onFiles(c.store.Name): // the upload ended before it could be cancelled
			c.wantObjects(part)
		case !errors.Is(err, context.Canceled):
			c.Errorf("%d bytes: %v", size, err)
		default:
			c.wantObjects()
		}
		if err := c.DeleteExport(c.Context(), exportID); err != nil {
			c.Fatal(err)
		}
	}
}

func aDamagedPart(c *inStore) {
	bucket := c.store.Open(c.T)
	first, second := noise(100_000, 1), noise(100_000, 2)
	parts := []Part{c.put(0, first), c.put(1, second)}
	for name, damage := range map[string]func(key string) error{
		"gone":      func(key string) error { return bucket.Delete(c.Context(), key) },
		"truncated": func(key string) error { return bucket.WriteAll(c.Context(), key, second[:99_999], nil) },
		"empty":     func(key string) error { return bucket.WriteAll(c.Context(), key, nil, nil) },
		"grown":     func(key string) error { return bucket.WriteAll(c.Context(), key, append(second, 'x'), nil) },
		"flipped":   func(key string) error { return bucket.WriteAll(c.Context(), key, flip(second), nil) },
	} {
		if err := damage(parts[1].Object); err != nil {
			c.Fatal(err)
		}
		got, err := io.ReadAll(c.File(c.Context(), bare, parts))
		if name != "flipped" && (err == nil || errors.Is(err, io.EOF) || Denied(err) || !bytes.Equal(got, first)) {
			c.Errorf("%s: %d bytes are read, %v", name, len(got), err)
		}
		tail := c.File(c.Context(), bare, parts)
		if _, err := tail.Seek(-50, io.SeekEnd); err != nil {
			c.Fatal(err)
		}
		if got, err := io.ReadAll(tail); name != "flipped" && (err == nil || errors.Is(err, io.EOF)) {
			c.Errorf("%s: the end is %d bytes, %v", name, len(got), err)
		}
		if _, err := c.Extend(c.Context(), bare, Digest{}, parts); err == nil || errors.Is(err, ErrCorrupt) != (name != "gone") || Denied(err) {
			c.Errorf("%s: the digest: %v", name, err)
		}
		c.put(1, second) // overwrites the damaged object
	}
	c.wantFile(joined(marks, first, second), parts...)
}

func checkLeavesNothing(c *inStore) {
	if err := errors.Join(c.Check(c.Context()), c.CheckWrites(c.Context())); err != nil {
		c.Error(err)
	}
	c.wantObjects()
}

func bucketWithAPrefix(c *inStore) {
	u, err := url.Parse(c.store.URL())
	if err != nil {
		c.Fatal(err)
	}
	query := u.Query()
	query.Set("prefix", "some/folder/")
	u.RawQuery = query.Encode()
	a, err := Open(c.Context(), u.String(), Options{})
	if err != nil {
		c.Fatal(err)
	}
	defer a.Close()
	inFolder := &inStore{T: c.T, Archive: a, store: c.store}
	data := noise(17<<20, 1)
	part := inFolder.put(0, data)
	inFolder.wantFile(joined(marks, data), part)
	if _, ok := c.store.Objects(c.T)["some/folder/"+part.Object]; !ok {
		c.Errorf("the objects are %v", c.store.Objects(c.T))
	}
	var ids []string
	if err := a.Exports(c.Context(), func(id string) error { ids = append(ids, id); return nil }); err != nil || len(ids) != 1 || ids[0] != exportID {
		c.Errorf("listed %v, %v", ids, err)
	}
	if err := errors.Join(a.CheckWrites(c.Context()), a.DeleteExport(c.Context(), exportID)); err != nil {
		c.Error(err)
	}
	c.wantObjects()
	if _, err := os.Stat(filepath.Join(c.store.Dir, "some", "folder", "exports", exportID)); onFiles(c.store.Name) && !errors.Is(err, fs.ErrNotExist) {
		c.Error("the directory is left:", err)
	}
}
