package devstack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"sync/atomic"
	"time"
)

const (
	// downloadPatience is how long a server may take to answer. After that, at least downloadMinimum
	// bytes must arrive in every downloadPatience. So a download over a network that hangs fails after
	// at most 10 seconds.
	downloadPatience = 5 * time.Second
	// downloadMinimum in every downloadPatience is about 50 KB/s. Any slower download is worth giving up:
	// at 50 KB/s, downloading the archive of Temporal takes 15 minutes, but building Temporal takes only
	// about five minutes.
	downloadMinimum = 256 << 10
	// downloadLimit is several times the size of the largest file that is downloaded here.
	downloadLimit = 512 << 20
)

// download is a file on a web server.
type download struct {
	url      string
	sha256   string        // of the file, in hex
	patience time.Duration // downloadPatience, or less in a test
}

// save writes the file to path and verifies its checksum. If save returns nil, the file at path is
// complete. If the server does not answer or is too slow, save returns an error: see the constants above.
// The total time is not limited.
func (d download) save(ctx context.Context, path string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := time.AfterFunc(d.patience, func() { cancel(fmt.Errorf("no answer within %v", d.patience)) })
	defer silent.Stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return explain(ctx, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the server answers %s", response.Status)
	}
	silent.Stop()
	body := &meteredReader{reader: response.Body}
	go body.watch(ctx, d.patience, cancel)
	sum, err := writeFile(path, io.LimitReader(body, downloadLimit))
	if err != nil {
		return explain(ctx, err)
	}
	if sum != d.sha256 {
		return fmt.Errorf("its SHA-256 is %s and should be %s", sum, d.sha256)
	}
	return nil
}

// explain returns the cause of ctx's cancellation instead of err if ctx was cancelled. From other
// errors it removes the URL, because the log already shows it.
func explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// writeFile writes the content to a new file and returns its SHA-256 in hex.
func writeFile(path string, content io.Reader) (sum string, err error) {
	file, err := os.Create(path)
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	_, err = io.Copy(io.MultiWriter(file, hash), content)
	return hex.EncodeToString(hash.Sum(nil)), errors.Join(err, file.Close())
}

// meteredReader counts the bytes that are read through it.
type meteredReader struct {
	reader io.Reader
	bytes  atomic.Int64
}

func (m *meteredReader) Read(p []byte) (int, error) {
	n, err := m.reader.Read(p)
	m.bytes.Add(int64(n))
	return n, err
}

// watch cancels the download once fewer than downloadMinimum bytes arrive in a window. It returns
// when ctx ends.
func (m *meteredReader) watch(ctx context.Context, window time.Duration, cancel context.CancelCauseFunc) {
	tick := time.NewTicker(window)
	defer tick.Stop()
	for before := int64(0); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := m.bytes.Load()
		if now-before < downloadMinimum {
			cancel(fmt.Errorf("only %d bytes arrived in %v", now-before, window))
			return
		}
		before = now
	}
}
