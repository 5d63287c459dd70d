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

// The memories may come from a view that fails on a row. In this case, the error from Postgres quotes the
// row.
func TestNoErrorQuotesAMemory(t *testing.T) {
	h := newHarness(t)
	h.insert("harmless", secret)
	h.exec(`CREATE FUNCTION refuse(text text) RETURNS integer LANGUAGE plpgsql AS $$ BEGIN
		RAISE EXCEPTION 'cannot handle %', text USING DETAIL = text, HINT = text; END $$`)
	columns := `id, memory, user_id, agent_id, session_id, priority, status, categories, metadata, workspace_id,
		%s AS access_count, last_accessed_at, created_at, updated_at FROM memories`
	for name, c := range map[string]struct {
		count string // the view's expression for the column access_count
		want  func(t *testing.T, err error, errorType string)
		kind  string
	}{
		"text that is not a number": {`CASE WHEN memory = 'harmless' THEN 1 ELSE memory::integer END`, wantFinal, attempt.TypeSourceInvalid},
		"text that is not JSON":     {`CASE WHEN memory = 'harmless' THEN 1 ELSE (memory::jsonb->>0)::integer END`, wantFinal, attempt.TypeSourceInvalid},
		"a division by zero":        {`1 / (length(memory) - 24)`, wantFinal, attempt.TypeSourceInvalid},
		"a function that refuses":   {`CASE WHEN memory = 'harmless' THEN 1 ELSE refuse(memory) END`, wantRetryable, attempt.TypeSourceUnavailable},
		"a missing number":          {`nullif(length(memory), 24)`, wantFinal, attempt.TypeSourceInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			h := h.in(t)
			h.exec(`DROP VIEW IF EXISTS leaky; CREATE VIEW leaky AS SELECT ` + fmt.Sprintf(columns, c.count))
			h.readFrom("memories")
			in := h.oneRange(format.JSON)
			h.readFrom("leaky")
			defer h.readFrom("memories")
			_, err := do[export.Written](h, h.WriteRange, in)
			c.want(t, err, c.kind)
			wantNoSecret(t, err)
		})
	}
}

// wantNoSecret checks that no part of an error that Temporal would keep in a history contains the secret.
func wantNoSecret(t *testing.T, err error) {
	t.Helper()
	for ; err != nil; err = errors.Unwrap(err) {
		said := fmt.Sprintf("%v %+v", err, err)
		var applicationErr *temporal.ApplicationError
		if errors.As(err, &applicationErr) && applicationErr.HasDetails() {
			var details any
			_ = applicationErr.Details(&details) // details can hold values of any type
			said += fmt.Sprintf(" %v", details)
		}
		if strings.Contains(said, secret) || strings.Contains(said, "spiders") {
			t.Errorf("the error says %s", said)
		}
	}
}
