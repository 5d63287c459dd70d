package export_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"pgregory.net/rapid"

	"memexport/internal/service/export"
)

const (
	slack = 10 * time.Second
	grace = time.Hour
)

// TestEveryCallerSeesWhatTheModelSays lets all the callers of a Store act in turns, in an order that rapid
// chooses: clients of two workspaces, attempts of activities that were overtaken long ago and still go on, the
// reconciler, the sweep and an operator. After each call it compares the answer, all rows, and what each
// workspace sees with the model.
func TestEveryCallerSeesWhatTheModelSays(t *testing.T) {
	t.Parallel()
	db := openWithClock(t)
	rapid.Check(t, func(rt *rapid.T) {
		db.MustExec(`DELETE FROM memexport.exports`)
		limits := export.Limits{
			Running:        rapid.IntRange(0, 2).Draw(rt, "running"),
			Unfinished:     rapid.SampledFrom([]int{0, 3}).Draw(rt, "unfinished"),
			WorkspaceBytes: rapid.SampledFrom([]int64{0, 300}).Draw(rt, "bytes"),
		}
		m := &machine{ctx: t.Context(), db: db, store: export.NewStore(db).WithLimits(limits), model: &model{limits: limits}}
		m.setClock(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
		actions := rapid.StateMachineActions(m)
		for i := range 4 { // more likely than the other actions, so that exports become READY and attempts meet
			actions[fmt.Sprint("Workflow", i)], actions[fmt.Sprint("WriteLate", i)] = m.Workflow, m.WriteLate
		}
		rt.Repeat(actions)
	})
}

// machine calls a Store and the model alike. Its methods that take a *rapid.T are the actions of the test.
type machine struct {
	ctx   context.Context
	db    *sqlx.DB
	store *export.Store
	model *model

	attempts     []*attempt
	publications []publication
	overdue      []*job // what the reconciler found when it last looked
	last         *job   // the job that the last action was about
}

var workspaces = []string{tenant, stranger}

// pick draws one of the values, and skips the action if there is none.
func pick[V any](t *rapid.T, what string, values []V) V {
	if len(values) == 0 {
		t.Skip()
	}
	return values[rapid.IntRange(0, len(values)-1).Draw(t, what)]
}

func (m *machine) pickJob(t *rapid.T, condition func(*job) bool) *job {
	var jobs []*job
	for _, j := range m.model.jobs {
		if condition(j) {
			jobs = append(jobs, j)
		}
	}
	m.last = pick(t, "job", jobs)
	return m.last
}

func every(*job) bool { return true }

// Delete sends a request of a client, who may try to delete another workspace's export.
func (m *machine) Delete(t *rapid.T) {
	j, workspace := m.pickJob(t, every), pick(t, "workspace", workspaces)
	m.do(t, m.delete(j, workspace))
}

// Create sends a request of a client.
func (m *machine) Create(t *rapid.T) {
	e := export.Export{WorkspaceID: pick(t, "workspace", workspaces), Format: pick(t, "format", []string{"json", "csv"})}
	key := pick(t, "key", []string{"", "a", "b"})
	if key != "" {
		e.IdempotencyKey = &key
	}
	got, err := m.store.Create(m.ctx, e)
	j, isNew, want := m.model.create(e.WorkspaceID, e.Format, key)
	agree(t, "create", err, want)
	if want != nil {
		return
	}
	if isNew {
		j.id = got.ID
	}
	m.last = j
	same(t, "the export that Create returned", viewOf(got), m.model.view(j))
}

// List sends a request of a client.
func (m *machine) List(t *rapid.T) {
	workspace := pick(t, "workspace", workspaces)
	page, size := rapid.IntRange(1, 2).Draw(t, "page"), rapid.IntRange(1, 3).Draw(t, "page size")
	visible := m.model.views(m.model.of(workspace, (*job).visible), true)
	listed, total, err := m.store.List(m.ctx, workspace, page, size)
	agree(t, "list", err, nil)
	var want []view
	for i := (page - 1) * size; i < min(page*size, len(visible)); i++ {
		want = append(want, visible[i])
	}
	same(t, "the list of a workspace", viewsOf(listed), want)
	same(t, "the total of a workspace", total, len(visible))
}

// Workflow takes the next steps of a workflow, up to six.
func (m *machine) Workflow(t *rapid.T) {
	j := m.pickJob(t, func(j *job) bool { return !j.dispatched.IsZero() && !j.removed && j.purged.IsZero() })
	for range rapid.IntRange(1, 6).Draw(t, "steps") {
		number := slices.Index(j.complete[:], false)
		switch {
		case j.status == export.Pending:
			m.do(t, m.plan(t, j))
		case j.status == export.Processing && number >= 0:
			m.do(t, m.write(t, m.begin(t, j, number)))
		case j.status == export.Processing:
			if p := m.count(t, j); rapid.Bool().Draw(t, "in time") {
				m.do(t, m.publish(p))
			}
		case j.status == export.Ready: // the timer may fire too early, because the clock of Temporal is another one
			m.do(t, m.expireDue(j))
		case j.status == export.Failed || j.status == export.Expired:
			m.do(t, m.purge(j))
		}
	}
}

// PlanAgain plans an export that is planned already, as a reset workflow does.
func (m *machine) PlanAgain(t *rapid.T) {
	j := m.pickJob(t, func(j *job) bool { return !j.started.IsZero() })
	m.do(t, m.plan(t, j))
}

// WriteLate lets an attempt of WriteRange go on, although another one may have overtaken it.
func (m *machine) WriteLate(t *rapid.T) {
	const recent = 4 // older attempts hardly matter: their exports have ended
	m.do(t, m.write(t, pick(t, "attempt", m.attempts[max(0, len(m.attempts)-recent):])))
}

// FailOver loses the last part of a range. The attempts that know this part go on, and so does an attempt of Publish
// that has counted it.
func (m *machine) FailOver(t *rapid.T) {
	number := rapid.IntRange(0, 1).Draw(t, "range")
	m.lose(m.pickJob(t, func(j *job) bool { return j.status == export.Processing && !j.removed && len(j.parts[number]) > 0 }), number)
}

// PublishLate lets an attempt of Publish go on that counted the parts some time ago.
func (m *machine) PublishLate(t *rapid.T) {
	m.do(t, m.publish(pick(t, "publication", m.publications)))
}

// PurgeAgain purges an export that has ended, perhaps for the second time.
func (m *machine) PurgeAgain(t *rapid.T) {
	m.do(t, m.purge(m.pickJob(t, func(j *job) bool { return j.status == export.Failed || j.status == export.Expired })))
}

// Claim gives places to waiting exports, as a worker does.
func (m *machine) Claim(t *rapid.T) {
	workspace := pick(t, "workspace", workspaces)
	got, err := m.store.Claim(m.ctx, workspace)
	agree(t, "claim", err, nil)
	same(t, "the exports that may start", viewsOf(got), m.model.views(m.model.claim(workspace), false))
}

// Look lets the reconciler look for overdue exports.
func (m *machine) Look(t *rapid.T) {
	got, err := m.store.Overdue(m.ctx, slack, grace, uuid.Nil.String(), 100)
	agree(t, "look for overdue exports", err, nil)
	m.overdue = m.model.overdue()
	same(t, "the overdue exports", viewsOf(got), m.model.views(m.overdue, false))
}

// Settle lets the reconciler end an export that it found earlier, as if its workflow had been terminated.
func (m *machine) Settle(t *rapid.T) {
	j := pick(t, "overdue job", m.overdue)
	m.end(t, j, export.CodeTerminated)
	m.do(t, m.purge(j))
}

// Cancel lets an operator cancel an export, in whatever state.
func (m *machine) Cancel(t *rapid.T) { m.end(t, m.pickJob(t, every), export.CodeCancelled) }

// ExpireNow lets an operator expire an export, in whatever state.
func (m *machine) ExpireNow(t *rapid.T) { m.do(t, m.expire(m.pickJob(t, every))) }

// Erase lets an operator erase a workspace. Its unfinished exports stay, because their workflows have not ended.
func (m *machine) Erase(t *rapid.T) {
	workspace := pick(t, "workspace", workspaces)
	agree(t, "hide the workspace", m.store.HideWorkspace(m.ctx, workspace), nil)
	for _, j := range m.model.of(workspace, (*job).visible) {
		agree(t, "delete", nil, m.model.delete(workspace, j))
	}
	for _, j := range m.model.of(workspace, func(j *job) bool { return !j.unfinished() }) {
		agree(t, "remove", m.store.Remove(m.ctx, j.id), nil)
		m.model.remove(j)
	}
}

// Sweep deletes the rows of exports that were purged long ago.
func (m *machine) Sweep(t *rapid.T) {
	n, err := m.store.DeleteHistory(m.ctx, grace, 100)
	agree(t, "delete the history", err, nil)
	same(t, "the number of rows that were deleted", n, m.model.deleteHistory(grace))
}

// Census counts the exports, as a worker does for its metrics.
func (m *machine) Census(t *rapid.T) {
	census, err := m.store.TakeCensus(m.ctx, slack, grace)
	agree(t, "take the census", err, nil)
	got, want := map[string]int{}, map[string]int{}
	for _, g := range census.Groups {
		got[string(g.Status)+" "+g.Format] = g.Exports
	}
	for _, j := range m.model.jobs {
		if !j.removed && j.purged.IsZero() {
			want[string(m.model.seen(j))+" "+j.format]++
		}
	}
	same(t, "the census", got, want)
	same(t, "the bytes of the census", census.Bytes, m.model.stored(tenant)+m.model.stored(stranger))
}

// Clock lets time pass.
func (m *machine) Clock(t *rapid.T) {
	d := pick(t, "passed", []time.Duration{time.Microsecond, slack + time.Microsecond, grace, retention})
	t.Logf("%s pass", d)
	m.setClock(m.model.now.Add(d))
}

// Deadline lets time pass until an export expires, or until the microsecond before.
func (m *machine) Deadline(t *rapid.T) {
	j := m.pickJob(t, func(j *job) bool { return j.status == export.Ready && !j.removed && m.model.now.Before(j.expires) })
	m.setClock(j.expires.Add(-time.Microsecond))
	m.Check(t)
	if rapid.Bool().Draw(t, "expire") {
		m.setClock(j.expires)
	}
}
