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

// Refusal is a response that refuses a request.
type Refusal struct {
	Status int
	Code   string // such as EXPORT_NOT_FOUND; empty if the API did not send the response
	text   string
}

func (r *Refusal) Error() string { return r.text }

// hints has a remedy for some codes.
var hints = map[string]string{
	"UNAUTHORIZED":      "check the key in MEMEXPORT_API_KEY or --api-key-file",
	"PERMISSION_DENIED": "creating and deleting exports needs a key with export.write, reading them export.read",
	"EXPORT_NOT_FOUND":  "`memexport list` shows the exports of the key's workspace",
}

// ErrNotTheAPI means that something other than the API answers at the URL.
var ErrNotTheAPI = errors.New("the Exports API is not at this URL")

// refusal turns a response that is not a success into an error.
func (svc *Service) refusal(response *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(response.Body, 1<<20)) // a truncated body fails to parse below
	var p client.Problem
	isProblem := strings.HasPrefix(response.Header.Get("Content-Type"), "application/problem+json") && json.Unmarshal(body, &p) == nil
	refused := &Refusal{Status: response.StatusCode, Code: p.Code}
	switch {
	case response.Request.Response != nil: // after a redirect; the next attempt gets a new address
		err := fmt.Errorf("the API redirected the download to the store at %s, which answered %s", response.Request.URL.Host, response.Status)
		return resume.Transient(err, response)
	case resume.TransientStatus(response.StatusCode):
		refused.text = "the server answered " + response.Status
		return resume.Transient(refused, response)
	case isProblem && p.Code != "NOT_FOUND" && p.Code != "METHOD_NOT_ALLOWED": // these two mean that the path is wrong
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

// notTheAPI returns an ErrNotTheAPI that says what the response was.
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

// failure returns the Failed of an export.
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

// Expired is the error for an export whose file has been removed after its time.
type Expired struct{ ID uuid.UUID }

func (e *Expired) Error() string {
	return fmt.Sprintf("the export %s has expired and its file is gone: create a new export", e.ID)
}
