package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"
)

// requestTimeout is how long a customer waits for an answer before they try the other API. The service limits each
// answer to 10 seconds, and a long poll to 10 seconds more. An API may be stopped for 8 of them.
const requestTimeout = 45 * time.Second

var transport = &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 20, IdleConnTimeout: 5 * time.Second}

// answer is the response to a request.
type answer struct {
	status int
	header http.Header
	body   []byte
	broken bool // the body ended early
	sent   time.Time
	came   time.Time
}

// object is the Export object of the API.
type object struct {
	ID          string     `json:"id"`
	Status      string     `json:"status"`
	CreatedAt   time.Time  `json:"created_at"`
	CompletedAt *time.Time `json:"completed_at"`
	ExpiresAt   *time.Time `json:"expires_at"`
	MemoryCount int        `json:"memory_count"`
	SizeBytes   *int64     `json:"size_bytes"`
	SHA256      *string    `json:"sha256"`
	Progress    int        `json:"progress"`
	Error       *struct {
		Code string `json:"code"`
	} `json:"error"`
}

// legal are the statuses that the API may answer with while servers fail.
var legal = []int{200, 202, 204, 206, 401, 404, 409, 410, 429, 503}

// ask sends a request to one of the APIs with the key of the workspace. It returns nil if no answer came. limit
// bounds the bytes that are read of the body, unless it is 0.
func (ws *workspace) ask(ctx context.Context, api int, method, path string, limit int64, headers ...string) *answer {
	return ws.askAs(ctx, ws.secret(), api, method, path, limit, headers...)
}

func (ws *workspace) askAs(ctx context.Context, key string, api int, method, path string, limit int64, headers ...string) *answer {
	w := ws.world
	parent := ctx
	ctx, stop := context.WithTimeout(ctx, requestTimeout)
	defer stop()
	request, err := http.NewRequestWithContext(ctx, method, "http://"+w.apis[api%len(w.apis)].address+path, nil)
	if err != nil {
		panic(err) // cannot happen: the URL is valid
	}
	request.Header.Set("X-Api-Key", key)
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	a := &answer{sent: time.Now()}
	response, err := transport.RoundTrip(request)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) && parent.Err() == nil {
		w.violate("", "%s %s: no answer within %s", method, path, requestTimeout)
	}
	if err != nil {
		w.count("requests without an answer")
		return nil
	}
	defer response.Body.Close()
	a.status, a.header = response.StatusCode, response.Header
	var body io.Reader = response.Body
	if limit > 0 {
		body = io.LimitReader(body, limit)
	}
	a.body, err = io.ReadAll(body)
	a.broken, a.came = err != nil, time.Now()
	w.count(fmt.Sprintf("answers %d", a.status))
	if !slices.Contains(legal, a.status) {
		w.violate("", "%s %s: %d: %.300s", method, path, a.status, a.body)
	}
	if a.status == http.StatusUnauthorized && key == ws.secret() {
		w.violate("", "%s %s: a key that is not revoked was refused", method, path)
	}
	return a
}

// export decodes the Export object of an answer. It returns nil if the body ended early.
func (ws *workspace) export(a *answer) *object {
	var e object
	if err := json.Unmarshal(a.body, &e); err != nil {
		if !a.broken {
			ws.world.violate("", "an answer cannot be parsed: %v: %.300s", err, a.body)
		}
		return nil
	}
	return &e
}
