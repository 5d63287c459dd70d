package api

import (
	"fmt"
	"net/http"

	"memexport/internal/service/export"
)

// quotaUnits are the units of the limits, as parameters of the field RateLimit-Policy. If a limit has no
// unit here, its unit is requests.
var quotaUnits = map[export.Limit]string{export.LimitStored: `;qu="content-bytes"`}

// limitHeader returns the headers of an answer that refuses a request because a limit is reached.
// RateLimit and RateLimit-Policy are defined in the IETF's draft-ietf-httpapi-ratelimit-headers.
// limitProblem fills in RateLimit-Policy.
func limitHeader(limit export.Limit, retryAfter string) http.Header {
	return http.Header{
		"Retry-After":      {retryAfter},
		"Ratelimit":        {fmt.Sprintf("%q;r=0;t=%s", limit, retryAfter)},
		"Ratelimit-Policy": nil,
	}
}

// limitProblem returns the problem for a limit that a workspace has reached. The problem tells the client
// how large the limit is.
func limitProblem(reached *export.LimitError) *Problem {
	p := newProblem(codeExportLimit)
	unit := "exports"
	if reached.Limit == export.LimitStored {
		p, unit = newProblem(codeStorageLimit), "bytes"
	}
	p.Detail += fmt.Sprintf(" The limit is %d %s.", reached.Max, unit)
	return p.with("RateLimit-Policy", fmt.Sprintf("%q;q=%d%s", reached.Limit, reached.Max, quotaUnits[reached.Limit]))
}
