package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"memexport/internal/service/apikey"
	"memexport/internal/service/audit"
	"memexport/internal/service/export"
)

// maxWait is the longest that an answer is held back for the header "Prefer: wait=N".
const maxWait = 60 * time.Second

func getOperation() huma.Operation {
	examples := jsonExample("ready", "The file can be downloaded.", readyExample())
	examples["application/json"].Examples["pending"] = &huma.Example{Summary: "Just accepted.", Value: pendingExample()}
	examples["application/json"].Examples["failed"] = &huma.Example{Summary: "It failed; a new export may succeed.", Value: failedExample()}
	return operation(huma.Operation{
		OperationID: "getExport",
		Method:      http.MethodGet,
		Path:        "/v1/exports/{id}",
		Summary:     "Get an export",
		Description: "Tells what has become of an export. Poll it until its status is `READY` or `FAILED`, at the pace of `Retry-After`, or let the server wait with the header `Prefer: wait=30`.",
		Parameters:  []*huma.Param{idParam()},
		Responses: map[string]*huma.Response{
			"200": {Description: "The export. Retry-After is there as long as it is not finished.", Headers: headerRefs("Retry-After", "Preference-Applied"),
				Content: examples},
		},
	}, apikey.ReadExports, 404)
}

type getInput struct {
	ID     string `path:"id"`
	Prefer string `header:"Prefer" example:"wait=30" doc:"With wait=N (RFC 7240) the answer is held back until the export is READY, FAILED or EXPIRED, or N seconds have passed, at most 60. Anything else is ignored."`
}

type getOutput struct {
	RetryAfter        string `header:"Retry-After" hidden:"true"`
	PreferenceApplied string `header:"Preference-Applied" hidden:"true"`
	Body              Export
}

func (s *service) getExport(ctx context.Context, in *getInput) (*getOutput, error) {
	id, err := parseID(in.ID)
	if err != nil {
		return nil, s.problem(ctx, err)
	}
	infoOf(ctx).exportID = id
	e, err := s.find(ctx, id)
	if err != nil {
		return nil, s.problem(ctx, err)
	}
	s.recordRead(ctx, audit.Read)
	out := &getOutput{}
	if wait, ok := preferredWait(in.Prefer); ok {
		out.PreferenceApplied = fmt.Sprintf("wait=%d", int(wait.Seconds()))
		if e, err = s.await(ctx, e, wait); err != nil {
			return nil, s.problem(ctx, err)
		}
	}
	if !e.Status.Terminal() {
		out.RetryAfter = retryAfter(e)
	}
	out.Body = view(e)
	return out, nil
}

// preferredWait returns the N of the preference wait=N in a Prefer header (RFC 7240), at most
// maxWait. If there are several, the first one counts. A preference that cannot be understood is
// ignored, as the RFC demands.
func preferredWait(prefer string) (time.Duration, bool) {
	for preference := range strings.SplitSeq(prefer, ",") {
		preference, _, _ = strings.Cut(preference, ";") // wait has no parameters
		name, value, _ := strings.Cut(preference, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "wait") {
			continue
		}
		seconds, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 31)
		if err != nil {
			return 0, false
		}
		return min(time.Duration(seconds)*time.Second, maxWait), true
	}
	return 0, false
}

// await returns the export when it is terminal, when wait is over, or when ctx ends.
func (s *service) await(ctx context.Context, e export.Export, wait time.Duration) (export.Export, error) {
	over := time.After(wait)
	for !e.Status.Terminal() {
		select {
		case <-ctx.Done(): // the client went away, or the server shuts down and still has to answer
			return e, nil
		case <-over:
			return e, nil
		case <-time.After(pollInterval(e)):
		}
		latest, err := s.find(ctx, e.ID)
		if err != nil && ctx.Err() != nil {
			return e, nil
		}
		if err != nil {
			return e, err
		}
		e = latest
	}
	return e, nil
}

// pollInterval returns how long a waiting request pauses before it reads the row again. It is a
// twentieth of the export's age, so that the answer is late by a twentieth of the export's time at
// most; at least 5 ms, to spare the database; and at most 500 ms, to be quick for long exports too.
func pollInterval(e export.Export) time.Duration {
	return min(max(time.Since(e.CreatedAt)/20, 5*time.Millisecond), 500*time.Millisecond)
}
