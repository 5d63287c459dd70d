package memory

import (
	"math"
	"testing"
	"time"
)

// Each case gives what Postgres expects in a range and in a part of the range, how many matches the part has, and the
// part's share of the range's time.
func TestASampleCorrectsAnEstimateThatItRefutes(t *testing.T) {
	for name, c := range map[string]struct {
		all, expected, matches int64
		timeShare              float64
		want                   int64
	}{
		"Postgres is right":                              {40_000, 1000, 1000, 0.1, 40_000},
		"three times as many are not refuted":            {40_000, 100, 300, 0.1, 40_000},
		"more than three times as many are":              {40_000, 100, 301, 0.1, 120_400},
		"a third is not refuted":                         {40_000, 300, 100, 0.1, 40_000},
		"less than a third is":                           {40_000, 301, 100, 0.1, 13_289},
		"29 matches are too few to tell":                 {40_000, 1, 29, 0.1, 40_000},
		"30 matches are enough":                          {40_000, 1, 30, 0.1, 300},
		"29 expected ones are too few to tell":           {40_000, 29, 0, 0.1, 40_000},
		"30 expected ones are enough, and exact enough":  {40_000, 30, 0, 0.1, 1333},
		"29 expected ones are too inexact":               {40_000, 29, 290, 0.1, 2900},
		"the time does not tell within one instant":      {40_000, 10, 100, 0, 400_000},
		"nor if the whole range lies within it":          {40_000, 10, 100, math.NaN(), 400_000},
		"a range has at least the matches of its sample": {10, 100, 200, 0.5, 200},
		"an estimate has a limit":                        {maxEstimate, 100, 1000, 0.1, maxEstimate},
	} {
		if got := correct(c.all, c.expected, c.matches, c.timeShare); got != c.want {
			t.Errorf("%s: estimated at %d, want %d", name, got, c.want)
		}
	}
}

// Postgres multiplies the fractions of rows that meet each condition, as if the conditions were independent. If the
// same rows meet all conditions, Postgres expects hardly any matches. Its estimate for a sample is then too inexact
// to show which share of the range the sample covers.
func TestConditionsThatHoldTogetherDoNotFoolThePlan(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	exec(t, db, `INSERT INTO memories (memory, user_id, agent_id, session_id, created_at) SELECT 'm', v, v, v, '2026-01-01'::timestamptz + i * interval '1 second'
		FROM generate_series(1, 40000) i, LATERAL (SELECT CASE WHEN i <= 4000 THEN 'import' ELSE 'other ' || i % 100 END AS v) same`)
	exec(t, db, `VACUUM ANALYZE memories`)
	imported, end := "import", time.Date(2026, 1, 1, 0, 0, 4001, 0, time.UTC)
	ranges, matched := plan(t, s, db, Query{WorkspaceID: tenant, Filter: Filter{UserID: &imported, AgentID: &imported, SessionID: &imported, CreatedBefore: &end}})
	if len(ranges) != 1 || ranges[0].Estimate < 3000 || ranges[0].Estimate > 5000 {
		t.Errorf("%v matches are estimated as %+v", matched, ranges)
	}
}
