package archive

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"

	"memexport/internal/workshop/storetest"
)

// errorCases test error responses, from the store itself or from a proxy in front of it.
var errorCases = []storeCase{
	{name: "bucket_missing", on: onServers, run: bucketMissing},
	{name: "credentials_refused", on: onS3, run: credentialsRefused},
	{name: "least_privilege", on: onS3, run: leastPrivilege},
	{name: "writing_refused", on: onServers, run: writingRefused},
	{name: "reading_refused", on: onServers, run: readingRefused},
	{name: "deleting_refused", on: onServers, run: deletingRefused},
	{name: "503_with_retry_after", on: onServers, run: busyForAWhile},
	{name: "500_always", on: onServers, run: alwaysBroken},
	{name: "truncated_bodies", on: onServers, run: truncatedBodies},
}

// faulty opens the store of c through a proxy that can return errors.
func faulty(c *inStore) (*inStore, *storetest.Faults) {
	c.Helper()
	faults := c.store.NewFaults(c.T)
	return openStore(c.T, faults.Store, shortTimeouts), faults
}

func writes(r *http.Request) bool { return r.Method == http.MethodPut || r.Method == http.MethodPost }
func reads(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.Contains(r.URL.Path, exportID)
}

// when returns a function that returns fault for the requests that match, and no fault for the
// others.
func when(which func(*http.Request) bool, fault storetest.Fault) func(*http.Request) storetest.Fault {
	return func(r *http.Request) storetest.Fault {
		if which(r) {
			return fault
		}
		return storetest.Fault{}
	}
}

// cancelAtUpload returns an archive and a context that is cancelled when an upload reaches the store.
func cancelAtUpload(c *inStore) (*Archive, context.Context) {
	c.Helper()
	a, faults := faulty(c)
	ctx, cancel := context.WithCancel(c.Context())
	faults.Set(func(r *http.Request) storetest.Fault {
		if writes(r) {
			cancel()
		}
		return storetest.Fault{}
	})
	return a.Archive, ctx
}

// attempts runs all operations concurrently and returns their errors. Every operation must fail if
// the store does not work.
func (c *inStore) attempts(part Part) map[string]error {
	c.Helper()
	var mu sync.Mutex
	var group sync.WaitGroup
	errs := map[string]error{}
	for what, do := range map[string]func() error{
		"Put":          func() error { _, err := c.Put(c.Context(), exportID, 0, 9, []byte("more")); return err },
		"Read":         func() error { _, err := io.ReadAll(c.File(c.Context(), bare, []Part{part})); return err },
		"Extend":       func() error { _, err := c.Extend(c.Context(), bare, Digest{}, []Part{part}); return err },
		"LastWritten":  func() error { _, err := c.LastWritten(c.Context(), exportID); return err },
		"Exports":      func() error { return c.Exports(c.Context(), func(string) error { return nil }) },
		"DeleteExport": func() error { return c.DeleteExport(c.Context(), exportID) },
		"Check":        func() error { return c.Check(c.Context()) },
		"CheckWrites":  func() error { return c.CheckWrites(c.Context()) },
	} {
		group.Go(func() {
			err := do()
			mu.Lock()
			defer mu.Unlock()
			errs[what] = err
		})
	}
	group.Wait()
	return errs
}

// wantDenied checks that err says that the store denies access, and that it names the setting to
// correct.
func (c *inStore) wantDenied(what string, err error) {
	c.Helper()
	if !Denied(err) || errors.Is(err, io.EOF) || errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "BUCKET_URL") {
		c.Errorf("%s: want an error for a denied access that names BUCKET_URL: %v", what, err)
	}
}

// wantUnavailable checks that err is a failure after which a retry may succeed.
func (c *inStore) wantUnavailable(what string, err error) {
	c.Helper()
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, ErrCorrupt) || Denied(err) {
		c.Errorf("%s: want an error that may pass: %v", what, err)
	}
}

func bucketMissing(c *inStore) {
	part := c.put(0, []byte("data"))
	elsewhere := *c.store
	elsewhere.Bucket += "-missing"
	missing := openStore(c.T, &elsewhere, shortTimeouts)
	for what, err := range missing.attempts(part) {
		switch what {
		case "Check":
			if err == nil || !strings.Contains(err.Error(), "BUCKET_URL") {
				c.Errorf("Check: %v", err)
			}
		case "Put", "CheckWrites":
			c.wantDenied(what, err)
		default:
			if err == nil || errors.Is(err, io.EOF) {
				c.Errorf("%s: %v", what, err)
			}
		}
	}
}

func credentialsRefused(c *inStore) {
	part := c.put(0, []byte("data"))
	for name, secret := range map[string]string{"none": "", "the wrong ones": "wrong"} {
		url := c.store.URL()
		if secret == "" {
			url += "&anonymous=true"
		} else if err := os.Setenv("AWS_SECRET_ACCESS_KEY", secret); err != nil {
			c.Fatal(err)
		}
		a, err := Open(c.Context(), url, shortTimeouts)
		c.store.Setenv(c.T)
		if err != nil {
			c.Fatal(err)
		}
		stranger := &inStore{T: c.T, Archive: a, store: c.store}
		for what, err := range stranger.attempts(part) {
			c.wantDenied("credentials: "+name+": "+what, err)
		}
		a.Close()
	}
	c.wantObjects(part)
}

// leastPrivilege checks that the permissions listed in docs/stores.md are sufficient, and that the
// API needs fewer than a worker.
func leastPrivilege(c *inStore) {
	api := []storetest.Grant{{On: "", Actions: []string{"s3:ListBucket"}}, {On: "exports/*", Actions: []string{"s3:GetObject"}}}
	worker := append([]storetest.Grant{{On: "exports/*", Actions: []string{"s3:PutObject", "s3:DeleteObject"}},
		{On: "memexport-probe/*", Actions: []string{"s3:PutObject", "s3:DeleteObject", "s3:GetObject"}}}, api...)
	composer := append([]storetest.Grant{{On: "", Actions: []string{"s3:ListBucketMultipartUploads"}},
		{On: "exports/*", Actions: []string{"s3:AbortMultipartUpload"}}, {On: "memexport-probe/*", Actions: []string{"s3:AbortMultipartUpload"}}}, worker...)
	as := map[string]*inStore{}
	for name, env := range c.store.Accounts(c.T, map[string][]storetest.Grant{"api": api, "worker": worker, "composer": composer}) {
		for _, variable := range env {
			key, value, _ := strings.Cut(variable, "=")
			if err := os.Setenv(key, value); err != nil {
				c.Fatal(err)
			}
		}
		a, err := Open(c.Context(), c.store.URL(), Options{Compose: name == "composer"})
		if err != nil {
			c.Fatal(err)
		}
		defer a.Close()
		as[name] = &inStore{T: c.T, Archive: a, store: c.store}
	}
	c.store.Setenv(c.T)
	if err := errors.Join(as["api"].Check(c.Context()), as["worker"].Check(c.Context()), as["worker"].CheckWrites(c.Context())); err != nil {
		c.Error(err)
	}
	data := noise(17<<20, 1)
	part := as["worker"].put(0, data)
	as["worker"].wantFile(joined(marks, data), part)
	as["api"].wantFile(joined(marks, data), part)
	if err := as["composer"].CheckCompose(c.Context()); err != nil {
		c.Error("CheckCompose:", err)
	}
	if err := as["worker"].CheckCompose(c.Context()); err == nil || !Denied(err) {
		c.Errorf("CheckCompose without the permission: %v", err)
	}
	file := as["composer"].mustCompose([]Part{part}, joined(marks, data))
	if got := as["api"].get(file, nil); got.body != string(joined(marks, data)) { // read permission is enough to sign URLs
		c.Errorf("a URL that the API signed: %d", got.status)
	}
	if err := as["composer"].DeleteExport(c.Context(), exportID); err != nil {
		c.Error(err)
	}
	part = as["worker"].put(0, data)
	c.wantDenied("CheckWrites of the API", as["api"].CheckWrites(c.Context()))
	c.wantDenied("DeleteExport of the API", as["api"].DeleteExport(c.Context(), exportID))
	c.wantObjects(part)
	if err := as["worker"].DeleteExport(c.Context(), exportID); err != nil {
		c.Error(err)
	}
	c.wantObjects()
}

func writingRefused(c *inStore) {
	a, faults := faulty(c)
	faults.Set(when(writes, storetest.Fault{Status: http.StatusForbidden}))
	_, err := a.Put(c.Context(), exportID, 0, 0, noise(6<<20, 1))
	c.wantDenied("Put", err)
	if err := a.Check(c.Context()); err != nil {
		c.Error("Check, which only reads:", err)
	}
	c.wantDenied("CheckWrites", a.CheckWrites(c.Context()))
	c.wantObjects()
}

func readingRefused(c *inStore) {
	part := c.put(0, []byte("data"))
	a, faults := faulty(c)
	faults.Set(when(reads, storetest.Fault{Status: http.StatusForbidden}))
	_, err := io.ReadAll(a.File(c.Context(), bare, []Part{part}))
	c.wantDenied("Read", err)
	_, err = a.Extend(c.Context(), bare, Digest{}, []Part{part})
	c.wantDenied("Extend", err)
}

// A refused deletion must never count as done. Otherwise the bytes would stay in the store unnoticed.
func deletingRefused(c *inStore) {
	part := c.put(0, []byte("data"))
	a, faults := faulty(c)
	deletes := func(r *http.Request) bool { return r.Method == http.MethodDelete }
	faults.Set(when(deletes, storetest.Fault{Status: http.StatusForbidden}))
	c.wantDenied("DeleteExport", a.DeleteExport(c.Context(), exportID))
	c.wantDenied("CheckWrites", a.CheckWrites(c.Context()))
	if _, ok := c.store.Objects(c.T)[part.Object]; !ok {
		c.Error("the object was deleted, so this tests nothing")
	}
	faults.Set(when(deletes, storetest.Fault{Status: http.StatusNotFound})) // as if another process had deleted the object first
	if err := a.DeleteExport(c.Context(), exportID); err != nil || faults.Answers() == 0 {
		c.Errorf("DeleteExport of objects that are gone: %v", err)
	}
}

// The SDKs retry some of the requests. If any other request fails, Temporal retries the activity.
func busyForAWhile(c *inStore) {
	data := noise(1<<20, 1)
	a, faults := faulty(c)
	for _, which := range []func(*http.Request) bool{writes, reads, func(*http.Request) bool { return true }} {
		remaining := 2
		faults.Set(func(r *http.Request) storetest.Fault {
			if !which(r) || remaining == 0 {
				return storetest.Fault{}
			}
			remaining--
			return storetest.Fault{Status: http.StatusServiceUnavailable}
		})
		retry := func(what string, do func() error) {
			for range 3 {
				err := do()
				if err == nil {
					return
				}
				c.wantUnavailable(what, err)
			}
			c.Errorf("%s: no attempt succeeded", what)
		}
		var part Part
		retry("Put", func() (err error) {
			part, err = a.Put(c.Context(), exportID, 0, 0, data)
			return err
		})
		retry("Read", func() error {
			got, err := io.ReadAll(a.File(c.Context(), bare, []Part{part}))
			if err == nil && string(got) != string(data) {
				c.Error("the file has other bytes")
			}
			return err
		})
		retry("DeleteExport", func() error { return a.DeleteExport(c.Context(), exportID) })
		if faults.Answers() != 2 {
			c.Errorf("%d requests failed, not 2", faults.Answers())
		}
	}
	c.wantObjects()
}

func alwaysBroken(c *inStore) {
	part := c.put(0, []byte("data"))
	for _, status := range []int{http.StatusInternalServerError, http.StatusServiceUnavailable} {
		a, faults := faulty(c)
		faults.Set(func(*http.Request) storetest.Fault { return storetest.Fault{Status: status} })
		for what, err := range a.attempts(part) {
			c.wantUnavailable(what, err)
		}
	}
	c.wantObjects(part)
}

func truncatedBodies(c *inStore) {
	contents := [][]byte{noise(1<<20, 1), noise(300_000, 2)}
	parts := []Part{c.put(0, contents[0]), c.put(1, contents[1])}
	a, faults := faulty(c)
	// Each connection breaks after 200,000 bytes, so reading a part takes several connections.
	faults.Set(when(reads, storetest.Fault{CutAfter: 200_000}))
	a.wantFile(joined(marks, contents...), parts...)
	if faults.Answers() < 6 {
		c.Errorf("only %d bodies were cut", faults.Answers())
	}
	faults.Set(when(reads, storetest.Fault{CutAfter: storetest.Nothing}))
	got, err := io.ReadAll(a.File(c.Context(), marks, parts))
	c.wantUnavailable("Read", err)
	if string(got) != marks.Prefix {
		c.Errorf("%d bytes were read", len(got))
	}
	_, err = a.Extend(c.Context(), marks, Digest{}, parts)
	c.wantUnavailable("Extend", err)
}
