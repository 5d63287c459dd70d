package archive

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"memexport/internal/workshop/storetest"
)

// composeCases join parts into one object and download it from the store.
var composeCases = []storeCase{
	{name: "compose", on: onS3, run: compose},
	{name: "compose_small_parts", on: onS3, run: composeSmallParts},
	{name: "compose_below_a_prefix", on: onS3, run: composeBelowAPrefix},
	{name: "compose_too_many_pieces", on: onS3, run: composeTooManyPieces},
	{name: "compose_and_the_store_fails", on: onS3, run: composeAndTheStoreFails},
	{name: "compose_wants_equal_parts", on: onS3, run: composeWantsEqualParts},
	{name: "compose_and_cancel", on: onS3, run: composeAndCancel},
	{name: "compose_and_crash", on: onS3, run: composeAndCrash},
	{name: "signed_urls", on: onS3, run: signedURLs},
	{name: "signed_urls_elsewhere", on: notOnS3, run: signedURLsElsewhere},
}

func onS3(store string) bool    { return store == "s3" }
func notOnS3(store string) bool { return store != "s3" }

// storeAllKinds stores parts of every kind and returns them with the bytes of the file that they form.
func (c *inStore) storeAllKinds() ([]Part, []byte) {
	c.Helper()
	sizes := []int{8 << 20, minPiece, minPiece - 1, 100, 8<<20 + 7, 3, minPiece, 2 << 20}
	var parts []Part
	whole := []byte(marks.Prefix)
	for i, size := range sizes {
		data, continues, separated := noise(size, uint64(i)), i == 5, i > 0 && i != 3 && i != 5
		if i > 0 && !continues {
			whole = append(whole, marks.Separator...)
		}
		whole = append(whole, data...)
		if separated {
			data = append([]byte(marks.Separator), data...)
		}
		part := c.put(i, data)
		part.Continues, part.Separated = continues, separated
		parts = append(parts, part)
	}
	return parts, append(whole, marks.Suffix...)
}

// mustCompose composes parts and checks the result against the file's bytes.
func (c *inStore) mustCompose(parts []Part, want []byte) Composed {
	c.Helper()
	file, err := c.Compose(c.Context(), exportID, marks, parts)
	if err != nil || file.Object == "" || file.Size != int64(len(want)) || !bytes.Equal(file.SHA256, sum(want)) {
		c.Fatalf("composed %d bytes of %d, as %q: %v", file.Size, len(want), file.Object, err)
	}
	return file
}

func compose(c *inStore) {
	parts, whole := c.storeAllKinds()
	first := c.mustCompose(parts, whole)
	if again := c.mustCompose(parts, whole); again.Object != first.Object {
		c.Errorf("the second call wrote %s, the first %s", again.Object, first.Object)
	}
	c.wantObjects(append(parts, Part{Object: first.Object, Size: first.Size})...)
	got, err := c.store.Open(c.T).ReadAll(c.Context(), first.Object)
	if err != nil || !bytes.Equal(got, whole) {
		c.Errorf("the object has %d bytes of %d: %v", len(got), len(whole), err)
	}
	// This file lacks the first part, as if its first range had turned out to be empty.
	c.mustCompose(parts[1:], append([]byte(marks.Prefix), whole[len(marks.Prefix)+8<<20+len(marks.Separator):]...))
	if err := c.DeleteExport(c.Context(), exportID); err != nil {
		c.Error(err)
	}
	c.wantObjects()
}

func composeSmallParts(c *inStore) {
	c.mustCompose(nil, joined(marks))
	small := c.put(0, []byte("one"))
	c.mustCompose([]Part{small}, joined(marks, []byte("one")))
	text := bytes.Repeat([]byte("The user prefers tea. "), minPiece/22+1)
	compressed := put(c.T, compressing(c.Archive), 1, text) // as if the setting had changed during the export
	c.mustCompose([]Part{small, compressed}, joined(marks, []byte("one"), text))
}

func composeBelowAPrefix(c *inStore) {
	u, err := url.Parse(c.store.URL())
	if err != nil {
		c.Fatal(err)
	}
	query := u.Query()
	query.Set("prefix", "some folder+ä/")
	u.RawQuery = query.Encode()
	a, err := Open(c.Context(), u.String(), Options{Compose: true})
	if err != nil {
		c.Fatal(err)
	}
	defer a.Close()
	inFolder := &inStore{T: c.T, Archive: a, store: c.store}
	parts, whole := inFolder.storeAllKinds()
	file := inFolder.mustCompose(parts, whole)
	if _, ok := c.store.Objects(c.T)["some folder+ä/"+file.Object]; !ok {
		c.Errorf("the objects are %v", c.store.Objects(c.T))
	}
	if got := inFolder.get(file, nil); got.body != string(whole) {
		c.Errorf("downloaded %d bytes: %+v", len(got.body), got.header)
	}
	if err := errors.Join(a.CheckCompose(c.Context()), a.DeleteExport(c.Context(), exportID)); err != nil {
		c.Error(err)
	}
	c.wantObjects()
}

func composeTooManyPieces(c *inStore) {
	parts := make([]Part, maxPieces+1)
	for i := range parts {
		parts[i] = Part{Object: "exports/none", Size: minPiece}
	}
	if file, err := c.Compose(c.Context(), exportID, bare, parts); file.Object != "" || err != nil {
		c.Errorf("composed %+v: %v", file, err)
	}
	c.wantObjects()
}

func composeAndTheStoreFails(c *inStore) {
	parts, whole := c.storeAllKinds()
	behind, faults := faulty(c)
	is := func(method, query string) func(*http.Request) bool {
		return func(r *http.Request) bool {
			return r.Method == method && strings.Contains(r.URL.RawQuery, query)
		}
	}
	copies := func(r *http.Request) bool { return r.Header.Get("X-Amz-Copy-Source") != "" }
	for name, which := range map[string]func(*http.Request) bool{
		"create": is("POST", "uploads"), "complete": is("POST", "uploadId"), "copy": copies,
		"upload": func(r *http.Request) bool { return is("PUT", "partNumber")(r) && !copies(r) },
	} {
		for _, status := range []int{http.StatusInternalServerError, http.StatusForbidden} {
			faults.Set(when(which, storetest.Fault{Status: status}))
			_, err := behind.Compose(c.Context(), exportID, marks, parts)
			want := behind.wantUnavailable
			if status == http.StatusForbidden {
				want = behind.wantDenied
			}
			want(fmt.Sprint(name, ", ", status), err)
			c.wantObjects(parts...)
		}
	}
	// From now on, the connection breaks when Compose reads the composed object back.
	faults.Set(when(func(r *http.Request) bool { return reads(r) && strings.HasSuffix(r.URL.Path, "/file") }, storetest.Fault{CutAfter: storetest.Nothing}))
	if _, err := behind.Compose(c.Context(), exportID, marks, parts); err == nil {
		c.Error("Compose did not read the object back")
	}
	faults.Set(func(*http.Request) storetest.Fault { return storetest.Fault{} })
	behind.mustCompose(parts, whole)
}

// composeWantsEqualParts checks that Compose and CheckCompose return ErrNotJoined for a store like Cloudflare
// R2, which accepts a multipart upload only if all pieces but the last have the same length.
func composeWantsEqualParts(c *inStore) {
	parts, _ := c.storeAllKinds()
	behind, faults := faulty(c)
	var mu sync.Mutex
	// lengths maps the number of a piece to a text that stands for its length. The text of an uploaded piece is
	// the Content-Length. The request for a copied piece does not contain its length, so its text is the range
	// that is copied, or the name of the source object if the whole object is copied.
	lengths := map[int]string{}
	faults.Set(func(r *http.Request) storetest.Fault {
		mu.Lock()
		defer mu.Unlock()
		query := r.URL.Query()
		if number, err := strconv.Atoi(query.Get("partNumber")); err == nil {
			lengths[number] = cmp.Or(r.Header.Get("X-Amz-Copy-Source-Range"), r.Header.Get("X-Amz-Copy-Source"), r.Header.Get("Content-Length"))
		}
		if r.Method != http.MethodPost || !query.Has("uploadId") {
			return storetest.Fault{}
		}
		delete(lengths, len(lengths)) // the last piece
		different := map[string]bool{}
		for _, length := range lengths {
			different[length] = true
		}
		clear(lengths)
		if len(different) > 1 {
			return storetest.Fault{Status: http.StatusBadRequest, Code: "InvalidPart"}
		}
		return storetest.Fault{}
	})
	if _, err := behind.Compose(c.Context(), exportID, marks, parts); !errors.Is(err, ErrNotJoined) {
		c.Errorf("Compose: %v", err)
	}
	if err := behind.CheckCompose(c.Context()); !errors.Is(err, ErrNotJoined) || !strings.Contains(err.Error(), "DOWNLOAD_MODE=proxy") {
		c.Errorf("CheckCompose: %v", err)
	}
	c.wantObjects(parts...)
	if uploads := c.store.Uploads(c.T); len(uploads) > 0 {
		c.Errorf("unfinished uploads remain: %v", uploads)
	}
}

func composeAndCancel(c *inStore) {
	parts, _ := c.storeAllKinds()
	for request, cancelled := int64(0), true; cancelled; request++ {
		behind, faults := faulty(c)
		ctx, cancel := context.WithCancel(c.Context())
		var seen atomic.Int64
		faults.Set(func(r *http.Request) storetest.Fault {
			if writes(r) && seen.Add(1) == request+1 {
				cancel()
			}
			return storetest.Fault{}
		})
		file, err := behind.Compose(ctx, exportID, marks, parts)
		cancelled = ctx.Err() != nil
		cancel()
		if !cancelled {
			if err != nil || request < 7 {
				c.Errorf("uncancelled, with %d requests: %v", request, err)
			}
			c.wantObjects(append(parts, Part{Object: file.Object, Size: file.Size})...)
			continue
		}
		if !errors.Is(err, context.Canceled) {
			c.Errorf("cancelled at request %d: %v", request, err)
		}
		want := parts
		for object, size := range c.store.Objects(c.T) { // a cancelled request may still have completed the file
			if strings.HasSuffix(object, "/file") {
				want = append(parts[:len(parts):len(parts)], Part{Object: object, Size: size})
			}
		}
		c.wantObjects(want...)
	}
}

// composeAndCrash checks that DeleteExport also aborts the upload of a process that was killed during
// Compose.
func composeAndCrash(c *inStore) {
	var client *s3.Client
	if !c.store.Open(c.T).As(&client) {
		c.Fatal("the bucket has no S3 client")
	}
	other := prefix(exportID[:35]+"2") + "file"
	for _, key := range []string{prefix(exportID) + "file", prefix(exportID) + "file", other} {
		if _, err := client.CreateMultipartUpload(c.Context(), &s3.CreateMultipartUploadInput{Bucket: &c.store.Bucket, Key: &key}); err != nil {
			c.Fatal(err)
		}
	}
	composing := openStore(c.T, c.store, Options{Compose: true})
	if err := composing.DeleteExport(c.Context(), exportID); err != nil {
		c.Fatal(err)
	}
	if remaining := c.store.Uploads(c.T); len(remaining) != 1 || remaining[0] != other {
		c.Errorf("the remaining uploads: %v", remaining)
	}
}

// response is what the store answers to a client without credentials.
type response struct {
	status int
	header http.Header
	body   string
}

// get downloads a composed object from the store, through a signed URL.
func (c *inStore) get(file Composed, header map[string]string) response {
	c.Helper()
	address, err := c.SignedURL(c.Context(), file.Object, time.Minute, "memories.json")
	if err != nil {
		c.Fatal(err)
	}
	return c.getURL(address, header)
}

func (c *inStore) getURL(address string, header map[string]string) response {
	c.Helper()
	request, err := http.NewRequestWithContext(c.Context(), http.MethodGet, address, nil)
	if err != nil {
		c.Fatal(err)
	}
	for name, value := range header {
		request.Header.Set(name, value)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		c.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		c.Error(err)
	}
	return response{status: answer.StatusCode, header: answer.Header, body: string(body)}
}

func signedURLs(c *inStore) {
	parts, whole := c.storeAllKinds()
	file := c.mustCompose(parts, whole)
	all := c.get(file, nil)
	if all.status != http.StatusOK || all.body != string(whole) {
		c.Errorf("%d: %d bytes", all.status, len(all.body))
	}
	disposition, parameters, err := mime.ParseMediaType(all.header.Get("Content-Disposition"))
	if err != nil || disposition != "attachment" || parameters["filename"] != "memories.json" {
		c.Errorf("the Content-Disposition is %q", all.header.Get("Content-Disposition"))
	}
	middle := c.get(file, map[string]string{"Range": "bytes=8388600-8388700", "If-Range": all.header.Get("ETag")})
	if middle.status != http.StatusPartialContent || middle.body != string(whole[8388600:8388701]) {
		c.Errorf("the answer to a range is %d, %d bytes", middle.status, len(middle.body))
	}
	address, err := c.SignedURL(c.Context(), file.Object, time.Second, "memories.json")
	if err != nil {
		c.Fatal(err)
	}
	for what, changed := range map[string]string{
		"another object":    strings.Replace(address, "/file?", "/"+strings.TrimPrefix(parts[0].Object, prefix(exportID))+"?", 1),
		"a longer lifetime": strings.Replace(address, "X-Amz-Expires=1&", "X-Amz-Expires=1000&", 1),
	} {
		if answer := c.getURL(changed, nil); changed == address || answer.status != http.StatusForbidden {
			c.Errorf("%s: %d", what, answer.status)
		}
	}
	time.Sleep(2100 * time.Millisecond) // the store counts the lifetime in whole seconds
	if late := c.getURL(address, nil); late.status != http.StatusForbidden {
		c.Errorf("after its lifetime: %d", late.status)
	}
}

func signedURLsElsewhere(c *inStore) {
	if err := c.CheckCompose(c.Context()); err == nil || !strings.Contains(err.Error(), "S3") {
		c.Errorf("CheckCompose: %v", err)
	}
	c.wantObjects()
}
