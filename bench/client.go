package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"memexport/internal/service/apikey"
)

// client speaks HTTP for one workspace.
type client struct {
	base, key string
	http      *http.Client
}

// clientOf returns the client of a data set's workspace.
func (s *stack) clientOf(ctx context.Context, d dataset) (client, error) {
	if c, ok := s.clients[d.workspace()]; ok {
		return c, nil
	}
	secret, _, err := apikey.NewStore(s.db).Create(ctx, d.workspace(), "benchmark", apikey.TestPrefix, apikey.Permissions)
	if err != nil {
		return client{}, err
	}
	c := client{s.baseURL, secret, s.http}
	s.clients[d.workspace()] = c
	return c, nil
}

// exported is what the benchmark needs of the Export object.
type exported struct {
	ID          string     `json:"id"`
	Status      string     `json:"status"`
	MemoryCount int        `json:"memory_count"`
	SizeBytes   int64      `json:"size_bytes"`
	SHA256      string     `json:"sha256"`
	CreatedAt   time.Time  `json:"created_at"`
	CompletedAt *time.Time `json:"completed_at"`
	Error       *struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// inServer is how long the export took by the server's own clock: without the interval at which a
// waiting request looks.
func (e *exported) inServer() time.Duration {
	if e.CompletedAt == nil {
		return 0
	}
	return e.CompletedAt.Sub(e.CreatedAt)
}

func (c client) create(ctx context.Context, format string) (exported, error) {
	var e exported
	return e, c.call(ctx, http.MethodPost, "/v1/exports?format="+format, "", &e)
}

// wait returns the export once it is READY.
func (c client) wait(ctx context.Context, id string) (exported, error) {
	for {
		var e exported
		if err := c.call(ctx, http.MethodGet, "/v1/exports/"+id, "wait=60", &e); err != nil {
			return e, err
		}
		if e.Error != nil {
			return e, fmt.Errorf("export %s is %s: %s: %s", id, e.Status, e.Error.Code, e.Error.Message)
		}
		if e.Status == "READY" {
			return e, nil
		}
	}
}

// export creates an export and returns it once it is READY, with the time that took.
func (c client) export(ctx context.Context, format string) (exported, time.Duration, error) {
	began := time.Now()
	e, err := c.create(ctx, format)
	if err == nil {
		e, err = c.wait(ctx, e.ID)
	}
	return e, time.Since(began), err
}

func (c client) delete(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, "/v1/exports/"+id, "", nil)
}

// download writes the file of an export to w and checks its length.
func (c client) download(ctx context.Context, e exported, w io.Writer) error {
	response, err := c.request(ctx, http.MethodGet, "/v1/exports/"+e.ID+"/download", "")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	n, err := io.CopyBuffer(struct{ io.Writer }{w}, response.Body, make([]byte, 256<<10))
	if err == nil && n != e.SizeBytes {
		err = fmt.Errorf("the file of export %s has %d bytes instead of %d", e.ID, n, e.SizeBytes)
	}
	return err
}

// call makes a request and decodes the answer into what into points to, unless that is nil.
func (c client) call(ctx context.Context, method, path, prefer string, into any) error {
	response, err := c.request(ctx, method, path, prefer)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if into != nil {
		err = json.NewDecoder(response.Body).Decode(into)
	}
	_, drainErr := io.Copy(io.Discard, response.Body) // so that the connection can be used again
	return errors.Join(err, drainErr)
}

// request makes a request; an answer other than 2xx is an error.
func (c client) request(ctx context.Context, method, path, prefer string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("X-Api-Key", c.key)
	if prefer != "" {
		request.Header.Set("Prefer", prefer)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode/100 != 2 {
		defer response.Body.Close()
		body, _ := io.ReadAll(io.LimitReader(response.Body, 4096))
		return nil, fmt.Errorf("%s %s: %s: %s", method, path, response.Status, strings.TrimSpace(string(body)))
	}
	return response, nil
}

// purgeTimeout bounds the wait for the objects of deleted exports to go.
const purgeTimeout = 3 * time.Minute

// discard deletes exports and returns when their objects are gone, so that the next measurement
// does not pay for it.
func (s *stack) discard(ctx context.Context, c client, ids ...string) error {
	for _, id := range ids {
		if err := c.delete(ctx, id); err != nil {
			return err
		}
	}
	return s.purged(ctx, ids...)
}

func (s *stack) purged(ctx context.Context, ids ...string) error {
	deadline := time.Now().Add(purgeTimeout)
	for _, id := range ids {
		for {
			_, err := os.Stat(filepath.Join(s.bucket, "exports", id))
			if errors.Is(err, os.ErrNotExist) {
				break
			}
			if err != nil {
				return err
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("export %s was deleted, but after %s its objects are still there", id, purgeTimeout)
			}
			select {
			case <-time.After(10 * time.Millisecond):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
	return nil
}

// exportTiny exports the tiny workspace n times at once.
func (s *stack) exportTiny(ctx context.Context, n int) error {
	c, err := s.clientOf(ctx, tiny)
	if err != nil {
		return err
	}
	var ids []string
	for range n {
		e, err := c.create(ctx, "json")
		if err != nil {
			return err
		}
		ids = append(ids, e.ID)
	}
	for _, id := range ids {
		if _, err := c.wait(ctx, id); err != nil {
			return err
		}
	}
	return s.discard(ctx, c, ids...)
}
