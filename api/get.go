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

// maxWait is the longest time for which the header "Prefer: wait=N" can delay an answer.
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
	Prefer string `header:"Prefer" example:"wait=30" doc:"With wait=N (RFC 7240) the answer is held back until the export is READY, FAILED or EXPIRED, or N seconds have passed, at most 60. It comes earlier if the server stops. Anything else is ignored."`
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
		var refusal *Problem
		if e, refusal = s.await(ctx, e, wait); refusal != nil {
			return nil, refusal
		}
	}
	if !e.Status.Terminal() {
		out.RetryAfter = retryAfter(e)
	}
	out.Body = view(e)
	return out, nil
}

// await waits until the export is terminal, wait has passed, the client goes away, or the server stops. It
// returns the latest state of the export.
func (s *service) await(ctx context.Context, e export.Export, wait time.Duration) (export.Export, *Problem) {
	if e.Status.Terminal() || wait == 0 {
		return e, nil
	}
	release, refusal := s.longPolls.take(ctx, infoOf(ctx).keyID)
	if refusal != nil {
		return e, refusal
	}
	defer release()
	e, err := s.watchers.await(ctx, workspaceOf(ctx), e, wait)
	if err != nil {
		return e, s.problem(ctx, err)
	}
	return e, nil
}

// preferredWait returns N from the preference wait=N in a Prefer header (RFC 7240), or maxWait if N is
// greater. If the header has several such preferences, the first one counts. A preference that is
// malformed is ignored, as the RFC demands.
func preferredWait(prefer string) (time.Duration, bool) {
	for preference := range strings.SplitSeq(prefer, ",") {
		preference, _, _ = strings.Cut(preference, ";") // drop parameters, because wait has none
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
