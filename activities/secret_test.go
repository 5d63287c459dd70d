package activities_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.temporal.io/sdk/temporal"

	"memexport/internal/service/attempt"
	"memexport/internal/service/export"
	"memexport/internal/service/format"
)

const secret = "Ada-is-afraid-of-spiders"

// A view of the memory service may fail on a row, and Postgres then quotes the row.
func TestNoErrorQuotesAMemory(t *testing.T) {
	h := newHouse(t)
	h.insert("harmless", secret)
	h.exec(`CREATE FUNCTION refuse(text text) RETURNS integer LANGUAGE plpgsql AS $$ BEGIN
		RAISE EXCEPTION 'cannot handle %', text USING DETAIL = text, HINT = text; END $$`)
	columns := `id, memory, user_id, agent_id, session_id, priority, status, categories, metadata, workspace_id,
		%s AS access_count, last_accessed_at, created_at, updated_at FROM memories`
	for name, c := range map[string]struct {
		count   string // what the view computes as access_count
		kind    string
		retried bool
	}{
		"a number that is none":   {`CASE WHEN memory = 'harmless' THEN 1 ELSE memory::integer END`, attempt.TypeSourceInvalid, false},
		"JSON that is none":       {`CASE WHEN memory = 'harmless' THEN 1 ELSE (memory::jsonb->>0)::integer END`, attempt.TypeSourceInvalid, false},
		"a division by zero":      {`1 / (length(memory) - 24)`, attempt.TypeSourceInvalid, false},
		"a function that refuses": {`CASE WHEN memory = 'harmless' THEN 1 ELSE refuse(memory) END`, attempt.TypeSourceUnavailable, true},
		"a missing number":        {`nullif(length(memory), 24)`, attempt.TypeSourceInvalid, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := h.in(t)
			h.exec(`DROP VIEW IF EXISTS leaky; CREATE VIEW leaky AS SELECT ` + fmt.Sprintf(columns, c.count))
			h.readFrom("memories")
			in := h.oneRange(format.JSON)
			h.readFrom("leaky")
			defer h.readFrom("memories")
			_, err := do[export.Written](h, h.WriteRange, in)
			wantError(t, err, c.kind, c.retried)
			wantNoSecret(t, err)
		})
	}
}

// wantNoSecret looks for the secret in all that an error would leave in a history.
func wantNoSecret(t *testing.T, err error) {
	t.Helper()
	for ; err != nil; err = errors.Unwrap(err) {
		said := fmt.Sprintf("%v %+v", err, err)
		var applicationErr *temporal.ApplicationError
		if errors.As(err, &applicationErr) && applicationErr.HasDetails() {
			var details any
			_ = applicationErr.Details(&details) // details of whatever kind
			said += fmt.Sprintf(" %v", details)
		}
		if strings.Contains(said, secret) || strings.Contains(said, "spiders") {
			t.Errorf("the error says %s", said)
		}
	}
}
