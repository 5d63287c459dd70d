package memory

import (
	"errors"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/lib/pq"
)

// Priority says how important a memory is.
type Priority string

const (
	Low    Priority = "LOW"
	Medium Priority = "MEDIUM"
	High   Priority = "HIGH"
)

// Priorities lists all priorities, from the least to the most important.
var Priorities = []Priority{Low, Medium, High}

// Filter selects memories of a workspace. A memory must meet all conditions. A nil field is not a
// condition. The tags of a field describe the query parameter of the API. The method where turns the
// fields into SQL.
type Filter struct {
	UserID        *string    `json:"user_id" query:"user_id" minLength:"1" maxLength:"512" example:"user-123" doc:"Only memories of this user."`
	AgentID       *string    `json:"agent_id" query:"agent_id" minLength:"1" maxLength:"512" example:"agent-7" doc:"Only memories of this agent."`
	SessionID     *string    `json:"session_id" query:"session_id" minLength:"1" maxLength:"512" example:"session-42" doc:"Only memories of this session."`
	Priority      *Priority  `json:"priority" query:"priority" example:"HIGH" doc:"Only memories of this priority."`
	Categories    []string   `json:"categories" query:"categories" minItems:"1" maxItems:"20" uniqueItems:"true" nullable:"true" example:"[\"preferences\",\"work\"]" doc:"Only memories that have at least one of these categories."`
	CreatedAfter  *time.Time `json:"created_after" query:"created_after" example:"2026-01-01T00:00:00Z" doc:"Only memories created at this instant or later (inclusive), so that consecutive windows tile."`
	CreatedBefore *time.Time `json:"created_before" query:"created_before" example:"2026-02-01T00:00:00Z" doc:"Only memories created earlier than this instant (exclusive), so that consecutive windows tile."`
}

// where adds the conditions of the filter to w.
func (f *Filter) where(w *where) {
	if f.UserID != nil {
		w.and("user_id = ?", *f.UserID)
	}
	if f.AgentID != nil {
		w.and("agent_id = ?", *f.AgentID)
	}
	if f.SessionID != nil {
		w.and("session_id = ?", *f.SessionID)
	}
	if f.Priority != nil {
		w.and("priority::text = ?", string(*f.Priority))
	}
	if len(f.Categories) > 0 {
		w.and("categories && ?::text[]", pq.Array(f.Categories))
	}
	if f.CreatedAfter != nil {
		w.and("created_at >= ?::timestamptz", TimeOf(*f.CreatedAfter).literal())
	}
	if f.CreatedBefore != nil {
		w.and("created_at < ?::timestamptz", TimeOf(*f.CreatedBefore).literal())
	}
}

// Check returns an error if no memory can match the filter because its time window is empty.
func (f *Filter) Check() error {
	if f.CreatedAfter != nil && f.CreatedBefore != nil && !f.CreatedAfter.Before(*f.CreatedBefore) {
		return errors.New("created_after must be earlier than created_before")
	}
	return nil
}

// IsZero reports whether the filter has no conditions, so that it matches every memory.
func (f *Filter) IsZero() bool { return len(f.Names()) == 0 }

// where collects SQL conditions together with their arguments, so that the numbers of placeholders
// always match.
type where struct {
	conditions []string
	args       []any
}

// and adds a condition. Each ? in the condition is replaced by the placeholder of the next argument.
func (w *where) and(condition string, args ...any) {
	for _, arg := range args {
		w.args = append(w.args, arg)
		condition = strings.Replace(condition, "?", "$"+strconv.Itoa(len(w.args)), 1)
	}
	w.conditions = append(w.conditions, condition)
}

// key adds the condition that the key of a memory compares to k in this way.
func (w *where) key(comparison string, k Key) {
	w.and("(created_at, id) "+comparison+" (?::timestamptz, ?::uuid)", k.CreatedAt.literal(), k.ID)
}

// sql returns the conditions joined by AND. There is always at least one condition, because every
// statement compares the workspace.
func (w *where) sql() string { return strings.Join(w.conditions, " AND ") }

// Names returns the query parameters of the filter's conditions.
func (f *Filter) Names() []string {
	var names []string
	v := reflect.ValueOf(*f)
	for i := range v.NumField() {
		if !v.Field(i).IsZero() {
			names = append(names, v.Type().Field(i).Tag.Get("query"))
		}
	}
	return names
}
