package remote

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"memexport/client"
	"memexport/internal/cli/resume"
)

// Refusal is the error for a response that rejects a request.
type Refusal struct {
	Status int
	Code   string // such as EXPORT_NOT_FOUND; empty if the API did not send the response
	text   string
}

func (r *Refusal) Error() string { return r.text }

// hints gives remedies for some error codes.
var hints = map[string]string{
	"UNAUTHORIZED":      "check the key in MEMEXPORT_API_KEY or --api-key-file",
	"PERMISSION_DENIED": "creating and deleting exports needs a key with export.write, reading them export.read",
	"EXPORT_NOT_FOUND":  "`memexport list` shows the exports of the key's workspace",
}

// ErrNotTheAPI means that something other than the Exports API answered at the URL.
var ErrNotTheAPI = errors.New("the Exports API is not at this URL")

// refusal returns the error for a response whose status is not 2xx.
func (svc *Service) refusal(response *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(response.Body, 1<<20)) // if the body is longer, it is truncated, and parsing it fails below
	var p client.Problem
	isProblem := strings.HasPrefix(response.Header.Get("Content-Type"), "application/problem+json") && json.Unmarshal(body, &p) == nil
	refused := &Refusal{Status: response.StatusCode, Code: p.Code}
	switch {
	case response.Request.Response != nil: // the store answered after a redirect; the next attempt gets a new URL from the API
		err := fmt.Errorf("the API redirected the download to the store at %s, which answered %s", response.Request.URL.Host, response.Status)
		return resume.Transient(err, response)
	case resume.TransientStatus(response.StatusCode):
		refused.text = "the server answered " + response.Status
		if isProblem { // the problem says which limit was reached, or that the store is full
			refused.text = fmt.Sprintf("%s (%d %s)", p.Detail, p.Status, p.Code)
		}
		return resume.Transient(refused, response)
	case isProblem && p.Code != "NOT_FOUND" && p.Code != "METHOD_NOT_ALLOWED": // NOT_FOUND and METHOD_NOT_ALLOWED mean that the path, and so the URL, is wrong
		refused.text = fmt.Sprintf("%s (%d %s)", p.Detail, p.Status, p.Code)
		if p.Errors != nil {
			for _, e := range *p.Errors {
				refused.text += fmt.Sprintf("\n  %s: %s", e.Location, e.Message)
			}
		}
		if hint := hints[p.Code]; hint != "" {
			refused.text += "\n  " + hint
		}
		return refused
	case response.StatusCode == http.StatusUnauthorized, response.StatusCode == http.StatusForbidden:
		refused.text = fmt.Sprintf("a proxy before the API answered %s: %s", response.Status, hints["UNAUTHORIZED"])
		return refused
	}
	return svc.notTheAPI(response)
}

// notTheAPI returns an error that wraps ErrNotTheAPI and describes the response.
func (svc *Service) notTheAPI(response *http.Response) error {
	if location := response.Header.Get("Location"); location != "" && response.StatusCode < 400 {
		return fmt.Errorf("%w: %s redirects to %s; set MEMEXPORT_URL or --url to the address of the API", ErrNotTheAPI, svc.options.URL, location)
	}
	return fmt.Errorf("%w: %s answered %s, with %q; check MEMEXPORT_URL or --url", ErrNotTheAPI, svc.options.URL,
		response.Status, response.Header.Get("Content-Type"))
}

// Failed is the error for an export with the status FAILED.
type Failed struct {
	ID        uuid.UUID
	Code      string
	Message   string
	Retryable bool
}

// failure returns a *Failed for the export.
func failure(e Export) error {
	f := &Failed{ID: e.ID}
	if e.Error != nil {
		f.Code, f.Message, f.Retryable = e.Error.Code, e.Error.Message, e.Error.Retryable
	}
	return f
}

func (f *Failed) Error() string {
	text := fmt.Sprintf("the export %s failed: %s (%s)", f.ID, f.Message, f.Code)
	if f.Retryable {
		text += "; a new export may succeed"
	}
	return text
}

// Expired is the error for an export that has expired, so its file has been deleted.
type Expired struct{ ID uuid.UUID }

func (e *Expired) Error() string {
	return fmt.Sprintf("the export %s has expired and its file is gone: create a new export", e.ID)
}
