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
	"memexport/internal/cli/transfer"
)

// Refusal is an answer of the API that says no.
type Refusal struct {
	Status int
	Code   string // EXPORT_NOT_FOUND and so on; empty if it was not the API that answered
	text   string
}

func (r *Refusal) Error() string { return r.text }

// hints say what to do about a refusal.
var hints = map[string]string{
	"UNAUTHORIZED":      "check the key in MEMEXPORT_API_KEY or --api-key-file",
	"PERMISSION_DENIED": "creating and deleting need export.write, everything else export.read",
	"EXPORT_NOT_FOUND":  "`memexport list` shows those of the key's workspace",
}

// ErrNotTheAPI is for a URL at which something else answers.
var ErrNotTheAPI = errors.New("the Exports API is not at this URL")

// refusal makes an error of an answer that is none of success.
func (r *Remote) refusal(response *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(response.Body, 1<<20)) // what is cut off is no problem in JSON
	var p client.Problem
	isProblem := strings.HasPrefix(response.Header.Get("Content-Type"), "application/problem+json") && json.Unmarshal(body, &p) == nil
	refused := &Refusal{Status: response.StatusCode, Code: p.Code}
	switch {
	case response.Request.Response != nil: // after a redirect, which the next attempt gets anew
		err := fmt.Errorf("the store at %s, to which the API sends for the file, answered %s", response.Request.URL.Host, response.Status)
		return transfer.Transient(err, response)
	case transfer.TransientStatus(response.StatusCode):
		refused.text = "the server answered " + response.Status
		return transfer.Transient(refused, response)
	case isProblem && p.Code != "NOT_FOUND" && p.Code != "METHOD_NOT_ALLOWED": // those are about the path
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
		refused.text = fmt.Sprintf("something before the API answered %s: %s", response.Status, hints["UNAUTHORIZED"])
		return refused
	}
	return r.notTheAPI(response)
}

func (r *Remote) notTheAPI(response *http.Response) error {
	if location := response.Header.Get("Location"); location != "" && response.StatusCode < 400 {
		return fmt.Errorf("%w: %s redirects to %s; set MEMEXPORT_URL or --url to where the API is", ErrNotTheAPI, r.options.URL, location)
	}
	return fmt.Errorf("%w: %s answered %s, with %q; check MEMEXPORT_URL or --url", ErrNotTheAPI, r.options.URL,
		response.Status, response.Header.Get("Content-Type"))
}

// Failed is an export that is FAILED.
type Failed struct {
	ID        uuid.UUID
	Code      string
	Message   string
	Retryable bool
}

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
		text += "; a new one may well succeed"
	}
	return text
}

// Expired is an export whose file is no longer there.
type Expired struct{ ID uuid.UUID }

func (e *Expired) Error() string {
	return fmt.Sprintf("the export %s has expired and its file is gone: create a new one", e.ID)
}
