package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"memexport/internal/workshop/storetest"
)

// What a store does that puts files together, and lets clients get them.
var composeCases = []storeCase{
	{"compose", onS3, compose},
	{"compose_what_is_small", onS3, composeWhatIsSmall},
	{"compose_below_a_prefix", onS3, composeBelowAPrefix},
	{"compose_too_many_pieces", onS3, composeTooManyPieces},
	{"compose_and_the_store_fails", onS3, composeAndTheStoreFails},
	{"compose_and_cancel", onS3, composeAndCancel},
	{"compose_and_die", onS3, composeAndDie},
	{"signed_urls", onS3, signedURLs},
	{"signed_urls_elsewhere", func(store string) bool { return store != "s3" }, signedURLsElsewhere},
}

func onS3(store string) bool { return store == "s3" }

// several are parts of all kinds, and the file that they make.
func (c *inStore) several() ([]Part, []byte) {
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

// composed composes, which has to succeed, and says what is in the bucket.
func (c *inStore) composed(parts []Part, want []byte) Composed {
	c.Helper()
	file, err := c.Compose(c.Context(), exportID, marks, parts)
	if err != nil || file.Object == "" || file.Size != int64(len(want)) || !bytes.Equal(file.SHA256, sum(want)) {
		c.Fatalf("composed are %d bytes of %d, %t: %v", file.Size, len(want), file.Object != "", err)
	}
	return file
}

func compose(c *inStore) {
	parts, whole := c.several()
	first := c.composed(parts, whole)
	if again := c.composed(parts, whole); again.Object != first.Object {
		c.Errorf("the second time it is %s, and was %s", again.Object, first.Object)
	}
	c.wantObjects(append(parts, Part{Object: first.Object, Size: first.Size})...)
	got, err := c.store.Open(c.T).ReadAll(c.Context(), first.Object)
	if err != nil || !bytes.Equal(got, whole) {
		c.Errorf("the object has %d bytes of %d: %v", len(got), len(whole), err)
	}
	// The first range turned out to be empty.
	c.composed(parts[1:], append([]byte(marks.Prefix), whole[len(marks.Prefix)+8<<20+len(marks.Separator):]...))
	if err := c.DeleteExport(c.Context(), exportID); err != nil {
		c.Error(err)
	}
	c.wantObjects()
}

func composeWhatIsSmall(c *inStore) {
	c.composed(nil, joined(marks))
	small := c.put(0, []byte("one"))
	c.composed([]Part{small}, joined(marks, []byte("one")))
	c.Compress = true
	text := bytes.Repeat([]byte("The user prefers tea. "), minPiece/22+1)
	compressed := c.put(1, text) // of an export that was begun with another setting
	c.composed([]Part{small, compressed}, joined(marks, []byte("one"), text))
}

func composeBelowAPrefix(c *inStore) {
	u, err := url.Parse(c.store.URL())
	if err != nil {
		c.Fatal(err)
	}
	query := u.Query()
	query.Set("prefix", "some folder+ä/")
	u.RawQuery = query.Encode()
	a, err := Open(c.Context(), u.String())
	if err != nil {
		c.Fatal(err)
	}
	defer a.Close()
	inFolder := &inStore{T: c.T, Archive: a, store: c.store}
	a.Composes = true
	parts, whole := inFolder.several()
	file := inFolder.composed(parts, whole)
	if _, ok := c.store.Objects(c.T)["some folder+ä/"+file.Object]; !ok {
		c.Errorf("the objects are %v", c.store.Objects(c.T))
	}
	if got := inFolder.get(file, nil); got.body != string(whole) {
		c.Errorf("%d bytes are got: %+v", len(got.body), got.header)
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
		c.Errorf("composed is %+v: %v", file, err)
	}
	c.wantObjects()
}

func composeAndTheStoreFails(c *inStore) {
	parts, whole := c.several()
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
			behind.wantError(fmt.Sprint(name, ", ", status), err, status == http.StatusForbidden)
			c.wantObjects(parts...)
		}
	}
	// What is there in the end is not what was to be.
	faults.Set(when(func(r *http.Request) bool { return reads(r) && strings.HasSuffix(r.URL.Path, "/file") }, storetest.Fault{CutAfter: storetest.Nothing}))
	if _, err := behind.Compose(c.Context(), exportID, marks, parts); err == nil {
		c.Error("it was not read back")
	}
	faults.Set(func(*http.Request) storetest.Fault { return storetest.Fault{} })
	behind.composed(parts, whole)
}

func composeAndCancel(c *inStore) {
	parts, _ := c.several()
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
		left := parts
		for object, size := range c.store.Objects(c.T) { // it may have been finished just now
			if strings.HasSuffix(object, "/file") {
				left = append(parts[:len(parts):len(parts)], Part{Object: object, Size: size})
			}
		}
		c.wantObjects(left...)
	}
}

// composeAndDie is a process that was killed while it composed: nobody knows its upload.
func composeAndDie(c *inStore) {
	var client *s3.Client
	if !c.store.Open(c.T).As(&client) {
		c.Fatal("no S3")
	}
	other := prefix(exportID[:35]+"2") + "file"
	for _, key := range []string{prefix(exportID) + "file", prefix(exportID) + "file", other} {
		if _, err := client.CreateMultipartUpload(c.Context(), &s3.CreateMultipartUploadInput{Bucket: &c.store.Bucket, Key: &key}); err != nil {
			c.Fatal(err)
		}
	}
	c.Composes = true
	if err := c.DeleteExport(c.Context(), exportID); err != nil {
		c.Fatal(err)
	}
	if left := c.store.Uploads(c.T); len(left) != 1 || left[0] != other {
		c.Errorf("the uploads that are left: %v", left)
	}
}

// got is what a client without credentials gets.
type got struct {
	status int
	header http.Header
	body   string
}

func (c *inStore) get(file Composed, header map[string]string) got {
	c.Helper()
	address, err := c.SignedURL(c.Context(), file.Object, time.Minute, "memories.json")
	if err != nil {
		c.Fatal(err)
	}
	return c.getURL(address, header)
}

func (c *inStore) getURL(address string, header map[string]string) got {
	c.Helper()
	request, err := http.NewRequestWithContext(c.Context(), http.MethodGet, address, nil)
	if err != nil {
		c.Fatal(err)
	}
	for name, value := range header {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		c.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		c.Error(err)
	}
	return got{response.StatusCode, response.Header, string(body)}
}

func signedURLs(c *inStore) {
	parts, whole := c.several()
	file := c.composed(parts, whole)
	all := c.get(file, nil)
	if all.status != http.StatusOK || all.body != string(whole) {
		c.Errorf("%d: %d bytes", all.status, len(all.body))
	}
	disposition, parameters, err := mime.ParseMediaType(all.header.Get("Content-Disposition"))
	if err != nil || disposition != "attachment" || parameters["filename"] != "memories.json" {
		c.Errorf("it is called %q", all.header.Get("Content-Disposition"))
	}
	middle := c.get(file, map[string]string{"Range": "bytes=8388600-8388700", "If-Range": all.header.Get("ETag")})
	if middle.status != http.StatusPartialContent || middle.body != string(whole[8388600:8388701]) {
		c.Errorf("a range is %d, %d bytes", middle.status, len(middle.body))
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
	time.Sleep(2100 * time.Millisecond) // its lifetime is counted in whole seconds
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
