package main

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"memexport/internal/service/memory"
)

// To add a filter, it must be enough to add a field to memory.Filter and to generate the client again.
func TestANewFilterNeedsOnlyAField(t *testing.T) {
	type someday struct {
		App      *string          `query:"app_id"`
		Status   *string          `query:"status" enum:"A,B" doc:"Only memories with this status."`
		Priority *memory.Priority `query:"least_priority"`
		Tags     []string         `query:"tags"`
		Seen     *time.Time       `query:"seen_after"`
		Count    *int64           `query:"min_count"`
		Score    *float64         `query:"min_score"`
		Private  *bool            `query:"private"`
	}
	type (
		status   string
		priority string
	)
	type somedayParams struct { // as the client generator would write it
		App      *string    `form:"app_id,omitempty"`
		Status   *status    `form:"status,omitempty"`
		Priority *priority  `form:"least_priority,omitempty"`
		Tags     *[]string  `form:"tags,omitempty"`
		Seen     *time.Time `form:"seen_after,omitempty"`
		Count    *int64     `form:"min_count,omitempty"`
		Score    *float32   `form:"min_score,omitempty"`
		Private  *bool      `form:"private,omitempty"`
	}
	parse := func(args ...string) (p somedayParams, help string, err error) {
		c := &cobra.Command{}
		addFilters(c, reflect.TypeFor[someday]())
		if err := c.ParseFlags(args); err != nil {
			t.Fatal(err)
		}
		err = setParams(c, reflect.ValueOf(&p).Elem())
		return p, c.Flags().FlagUsages(), err
	}
	p, help, err := parse("--app-id=x", "--status=B", "--least-priority=HIGH", "--tags=a,b", "--tags=c", "--seen-after=2026-01-01",
		"--min-count=-3", "--min-score=0.5", "--private=true")
	if err != nil || *p.App != "x" || *p.Status != "B" || *p.Priority != "HIGH" || strings.Join(*p.Tags, " ") != "a b c" ||
		p.Seen.Year() != 2026 || *p.Count != -3 || *p.Score != 0.5 || !*p.Private {
		t.Errorf("%+v, %v", p, err)
	}
	for _, values := range []string{"only memories with this status: A, B", "LOW, MEDIUM, HIGH", "true, false", "2026-01-31 (UTC)"} {
		if !strings.Contains(help, values) {
			t.Errorf("the help does not say %q:\n%s", values, help)
		}
	}
	if p, _, err := parse(); err != nil || !reflect.ValueOf(p).IsZero() {
		t.Errorf("without flags: %+v, %v", p, err)
	}
	for _, arg := range []string{"--app-id=", "--status=C", "--least-priority=high", "--tags=a,,b", "--seen-after=x", "--min-count=x",
		"--min-count=1.5", "--min-count=99999999999999999999", "--min-score=x", "--private=yes", "--private="} {
		flag, _, _ := strings.Cut(arg, "=")
		if _, _, err := parse(arg); err == nil || !strings.HasPrefix(err.Error(), flag+" ") {
			t.Errorf("%s: %v, want an error that names the flag", arg, err)
		}
	}
}
