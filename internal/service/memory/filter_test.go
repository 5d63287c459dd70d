package memory

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// fact is a memory in the model of the test. The function matches applies a filter to a fact.
type fact struct {
	id               string
	workspace        string
	user, agent, run *string
	priority         *string
	categories       []*string
	created          time.Time
	nullCategories   bool // NULL instead of an array
}

// nasty holds values to store and to filter by, which SQL, LIKE or careless code could misread.
var nasty = []string{"", " ", "alice", "Alice", "alice ", "al%", "al_ce", "' OR true --", `" OR "1"="1`, `\`, `{a,b}`, "NULL", "null",
	"$1", "?", ";DROP TABLE memories", "ålice", "a\u030Alice", "😀", "a\nb", "a,b", tenant}

func pick[T any](random *rand.Rand, from []T) T { return from[random.IntN(len(from))] }

// optional returns nil in a quarter of all calls, and otherwise a random one of the values.
func optional(random *rand.Rand, values []string) *string {
	if random.IntN(4) == 0 {
		return nil
	}
	v := pick(random, values)
	return &v
}

var instant = time.Date(2026, 1, 2, 3, 4, 5, 678_901_000, time.UTC)

// addFacts adds n random memories of two workspaces. The values for both workspaces come from the
// same lists.
func addFacts(t *testing.T, db *sqlx.DB, random *rand.Rand, n int) []fact {
	t.Helper()
	facts := make([]fact, n)
	for i := range facts {
		f := fact{
			id:        fmt.Sprintf("%08x-0000-4000-8000-%012x", random.Uint32(), i),
			workspace: pick(random, []string{tenant, tenant, stranger}),
			user:      optional(random, nasty), agent: optional(random, nasty), run: optional(random, nasty[:4]),
			priority: optional(random, []string{"LOW", "MEDIUM", "HIGH"}),
			created:  instant.Add(time.Duration(random.IntN(9)-4) * time.Microsecond),
		}
		for range random.IntN(4) {
			f.categories = append(f.categories, optional(random, nasty))
		}
		f.nullCategories = f.categories == nil && random.IntN(2) == 0
		var categories any = pq.Array(f.categories)
		if f.categories == nil && !f.nullCategories {
			categories = "{}"
		}
		exec(t, db, `INSERT INTO memories (id, memory, workspace_id, user_id, agent_id, session_id, priority, categories, created_at)
			VALUES ($1, 'm', $2, $3, $4, $5, $6, $7, $8)`, f.id, f.workspace, f.user, f.agent, f.run, f.priority, categories, f.created)
		facts[i] = f
	}
	slices.SortFunc(facts, func(a, b fact) int {
		if c := a.created.Compare(b.created); c != 0 {
			return c
		}
		return strings.Compare(a.id, b.id)
	})
	return facts
}

// matches reports whether a memory matches a filter, independently of the SQL.
func matches(f *Filter, m fact) bool {
	equal := func(want, have *string) bool { return want == nil || have != nil && *have == *want }
	meets := len(f.Categories) == 0
	for _, c := range m.categories {
		meets = meets || c != nil && slices.Contains(f.Categories, *c)
	}
	return equal(f.UserID, m.user) && equal(f.AgentID, m.agent) && equal(f.SessionID, m.run) &&
		(f.Priority == nil || m.priority != nil && *m.priority == string(*f.Priority)) && meets &&
		(f.CreatedAfter == nil || !m.created.Before(*f.CreatedAfter)) &&
		(f.CreatedBefore == nil || m.created.Before(*f.CreatedBefore))
}

func checkFilter(t *testing.T, s *Source, facts []fact, f Filter) {
	t.Helper()
	var want, got []string
	for _, m := range facts {
		if m.workspace == tenant && matches(&f, m) {
			want = append(want, m.id)
		}
	}
	for _, line := range read(t, s, Query{WorkspaceID: tenant, Filter: f}, everything, nil) {
		got = append(got, line[:36])
	}
	if !slices.Equal(got, want) {
		text, _ := json.Marshal(f)
		t.Fatalf("%s reads %d memories, want %d:\n%v\n%v", text, len(got), len(want), got, want)
	}
}

// filters returns filters with at most one condition each.
func filters() []Filter {
	all := []Filter{{}}
	for _, v := range nasty {
		all = append(all, Filter{UserID: &v}, Filter{AgentID: &v}, Filter{SessionID: &v}, Filter{Categories: []string{v}},
			Filter{Categories: []string{v, "alice"}})
	}
	for _, p := range append([]Priority{"", "low", "' OR true --"}, Priorities...) {
		all = append(all, Filter{Priority: &p})
	}
	for i := -5; i <= 5; i++ {
		at := instant.Add(time.Duration(i) * time.Microsecond)
		elsewhere := at.In(time.FixedZone("far", 14*3600))
		all = append(all, Filter{CreatedAfter: &at}, Filter{CreatedBefore: &at}, Filter{CreatedAfter: &elsewhere})
	}
	return append(all, Filter{Categories: nasty[:20]})
}

func TestEverySingleConditionMatchesTheModel(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	facts := addFacts(t, db, rand.New(rand.NewPCG(3, 4)), 400)
	s = s.with(t, SourceOptions{PageRows: 50})
	for _, f := range filters() {
		checkFilter(t, s, facts, f)
	}
}

func TestFiltersAreCombinedWithAnd(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	random := rand.New(rand.NewPCG(5, 6))
	facts := addFacts(t, db, random, 400)
	for range 150 {
		var f Filter
		for range 2 + random.IntN(3) {
			other := pick(random, filters())
			switch {
			case other.UserID != nil:
				f.UserID = other.UserID
			case other.AgentID != nil:
				f.AgentID = other.AgentID
			case other.SessionID != nil:
				f.SessionID = other.SessionID
			case other.Priority != nil:
				f.Priority = other.Priority
			case other.Categories != nil:
				f.Categories = other.Categories
			case other.CreatedAfter != nil:
				f.CreatedAfter = other.CreatedAfter
			case other.CreatedBefore != nil:
				f.CreatedBefore = other.CreatedBefore
			}
		}
		checkFilter(t, s, facts, f)
	}
}

func TestConsecutiveWindowsTile(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	addFacts(t, db, rand.New(rand.NewPCG(7, 8)), 200)
	want := stored(t, db, "memories", mine)
	for _, step := range []time.Duration{time.Microsecond, 1500 * time.Nanosecond, 3 * time.Microsecond, time.Second} {
		var got []string
		for after := instant.Add(-20*time.Microsecond - 300); after.Before(instant.Add(20 * time.Microsecond)); after = after.Add(step) {
			before := after.Add(step)
			got = append(got, read(t, s, Query{WorkspaceID: tenant, Filter: Filter{CreatedAfter: &after, CreatedBefore: &before}}, everything, nil)...)
		}
		same(t, got, want)
	}
}

func TestMemoriesOfAnotherWorkspaceCannotBeRead(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	exec(t, db, `INSERT INTO memories (memory, workspace_id, user_id) VALUES ('secret', $1, 'alice')`, stranger)
	alice := "alice' OR workspace_id::text <> '"
	for _, f := range append(filters(), Filter{UserID: &alice}, Filter{Categories: []string{"}'::text[] OR true --"}}) {
		q := Query{WorkspaceID: tenant, Filter: f}
		same(t, read(t, s, q, everything, nil), nil)
		if ranges, err := s.Plan(t.Context(), q); err != nil || len(ranges) != 0 {
			t.Errorf("Plan finds %v, %v", ranges, err)
		}
	}
	for _, workspace := range []string{"", "' OR true --", "%", stranger + "' OR ''='"} {
		err := s.Read(t.Context(), Query{WorkspaceID: workspace}, everything, nil, func(m *Memory) error {
			t.Errorf("workspace %q reads %s", workspace, m.Text)
			return nil
		})
		if err == nil {
			t.Errorf("workspace %q is accepted", workspace)
		}
	}
}

func TestNamesAreTheConditionsThatAreSet(t *testing.T) {
	text, priority, at := "u", High, instant
	full := Filter{UserID: &text, AgentID: &text, SessionID: &text, Priority: &priority, Categories: []string{"c"}, CreatedAfter: &at, CreatedBefore: &at}
	if got, want := full.Names(), []string{"user_id", "agent_id", "session_id", "priority", "categories", "created_after", "created_before"}; !slices.Equal(got, want) {
		t.Errorf("Names() = %q, want %q", got, want)
	}
	if full.IsZero() || !(&Filter{}).IsZero() {
		t.Error("IsZero is wrong")
	}
}

func TestAnEmptyWindowIsRejected(t *testing.T) {
	later := instant.Add(time.Nanosecond)
	for _, c := range []struct {
		after, before *time.Time
		ok            bool
	}{{nil, nil, true}, {&instant, nil, true}, {nil, &instant, true}, {&instant, &later, true}, {&instant, &instant, false}, {&later, &instant, false}} {
		err := (&Filter{CreatedAfter: c.after, CreatedBefore: c.before}).Check()
		if (err == nil) != c.ok {
			t.Errorf("after %v, before %v: %v", c.after, c.before, err)
		}
	}
}
