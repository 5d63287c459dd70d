package export_test

import (
	"errors"
	"reflect"
	"slices"
	"time"

	"pgregory.net/rapid"

	"memexport/internal/service/export"
)

// Duel takes two steps of one job at the same time. Another transaction locks the row of the job until both steps
// have begun, so that neither step can change the row before the other begins. The outcome must be the same as if
// one step had ended before the other began.
func (m *machine) Duel(t *rapid.T) {
	j := m.pickJob(t, func(j *job) bool { return !j.removed })
	steps := []step{m.anyStep(t, j), m.anyStep(t, j)}
	before := j.clone()
	var got [2]outcome
	m.whileLocked(t, j, func(i int) { got[i].answer, got[i].err = steps[i].call() })
	t.Logf("%s: %v; at the same time %s: %v", steps[0].name, got[0].err, steps[1].name, got[1].err)
	var want [2]outcome
	for _, order := range [][2]int{{0, 1}, {1, 0}} {
		*j = before.clone()
		for _, i := range order {
			want[i].answer, want[i].err = steps[i].model()
		}
		if got[0].is(want[0]) && got[1].is(want[1]) && m.rowIs(t, j) {
			return
		}
	}
	t.Fatalf("%s: %v, and at the same time %s: %v: neither order of the two explains that", steps[0].name, got[0].err, steps[1].name, got[1].err)
}

type outcome struct {
	answer any
	err    error
}

func (o outcome) is(want outcome) bool {
	return errors.Is(o.err, want.err) && reflect.DeepEqual(o.answer, want.answer)
}

// anyStep draws a step that some caller could take now.
func (m *machine) anyStep(t *rapid.T, j *job) step {
	steps := []func() step{
		func() step { return m.fail(j, export.CodeCancelled) },
		func() step { return m.expire(j) },
		func() step { return m.delete(j, j.workspace) },
	}
	if !j.dispatched.IsZero() {
		steps = append(steps, func() step { return m.plan(t, j) })
	}
	if j.status.Terminal() && j.status != export.Ready {
		steps = append(steps, func() step { return m.purge(j) })
	}
	for _, a := range m.attempts {
		if a.job == j {
			steps = append(steps, func() step { return m.write(t, a) })
		}
	}
	for _, p := range m.publications {
		if p.job == j {
			steps = append(steps, func() step { return m.publish(p) })
		}
	}
	return pick(t, "step", steps)()
}

// clone returns a copy that the model can change.
func (j *job) clone() job {
	c := *j
	for i := range c.parts {
		c.parts[i] = slices.Clone(c.parts[i])
	}
	return c
}

// whileLocked calls do(0), and then do(1), while the row of the job is locked. It unlocks the row when both
// calls wait for it or have ended, and returns when both have ended.
func (m *machine) whileLocked(t *rapid.T, j *job, do func(int)) {
	tx := m.db.MustBegin()
	defer tx.Rollback() //nolint:errcheck // the transaction changes nothing
	tx.MustExec(`SELECT FROM memexport.exports WHERE id = $1 FOR UPDATE`, j.id)
	ended := make(chan int, 2)
	for i := range 2 {
		go func() { do(i); ended <- i }()
		m.awaitBlocked(t, i+1, ended)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		<-ended
	}
}

// awaitBlocked waits until n calls are blocked or have ended.
func (m *machine) awaitBlocked(t *rapid.T, n int, ended chan int) {
	for limit := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		var blocked int
		if err := m.db.Get(&blocked, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0`); err != nil {
			t.Fatal(err)
		}
		if blocked+len(ended) >= n {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("%d calls are blocked and %d have ended, want %d", blocked, len(ended), n)
		}
	}
}

// rowIs reports whether the row and the parts of a job are as the model says.
func (m *machine) rowIs(t *rapid.T, j *job) bool {
	e, err := m.store.Find(m.ctx, j.id)
	agree(t, "find", err, nil)
	parts, err := m.store.Parts(m.ctx, j.id)
	agree(t, "read the parts", err, nil)
	return viewOf(e) == m.model.view(j) && reflect.DeepEqual(parts, append(slices.Clone(j.parts[0]), j.parts[1]...))
}
