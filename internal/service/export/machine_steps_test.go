package export_test

import (
	"errors"
	"fmt"
	"slices"

	"pgregory.net/rapid"

	"memexport/internal/service/export"
)

// step is a change of one job, which may be refused. call asks the Store for the change, and model makes the same
// change in the model. Both must return the same answer.
type step struct {
	*job
	name  string
	call  func() (any, error)
	model func() (any, error)
}

// do takes a step, and reports whether the Store and the model answer it with ErrConflict.
func (m *machine) do(t *rapid.T, s step) (conflict bool) {
	m.last = s.job
	got, err := s.call()
	answer, want := s.model()
	agree(t, s.name, err, want)
	same(t, s.name, got, answer)
	return errors.Is(want, export.ErrConflict)
}

// attempt is an attempt of WriteRange. It never stops by itself, even if the Store has refused something.
type attempt struct {
	*job
	number int    // of the range
	next   int    // number of its next part
	last   string // object of its last part; empty if it has none
	name   string
}

// publication is an attempt of Publish that has counted the parts.
type publication struct {
	*job
	file export.File
}

func (m *machine) plan(t *rapid.T, j *job) step {
	mine := slices.Clone(plan)
	for i := range mine {
		mine[i].Estimate = rapid.Int64Range(0, 50).Draw(t, "estimate")
	}
	return step{j, "plan",
		func() (any, error) { return m.store.Start(m.ctx, j.id, mine) },
		func() (any, error) { return m.model.start(j, mine) },
	}
}

// begin starts an attempt of WriteRange, which reads what is recorded.
func (m *machine) begin(t *rapid.T, j *job, number int) *attempt {
	a := &attempt{job: j, number: number, name: fmt.Sprint("attempt ", len(m.attempts))}
	complete, err := m.store.RangeComplete(m.ctx, j.id, number)
	agree(t, "ask whether the range is complete", err, nil)
	same(t, "whether the range is complete", complete, j.complete[number])
	incomplete, err := m.store.IncompleteRanges(m.ctx, j.id)
	agree(t, "read the incomplete ranges", err, nil)
	_, found := incomplete[number]
	same(t, "whether the range is incomplete", found, j.plan != nil && !j.complete[number])
	parts, err := m.store.PartsOfRange(m.ctx, j.id, number)
	agree(t, "read the parts of the range", err, nil)
	if a.next = len(parts); a.next > 0 {
		a.last = parts[a.next-1].Object
	}
	m.attempts = append(m.attempts, a)
	return a
}

// write lets an attempt record up to two further parts in one transaction, or say that its range is complete.
func (m *machine) write(t *rapid.T, a *attempt) step {
	n, next, last := rapid.IntRange(0, 2).Draw(t, "parts"), a.next, a.last
	if n == 0 {
		return step{a.job, fmt.Sprint(a.name, " completes range ", a.number),
			func() (any, error) { return nil, m.store.CompleteRange(m.ctx, a.id, a.number, next) },
			func() (any, error) { return nil, m.model.completeRange(a.job, a.number, next) },
		}
	}
	var parts []export.Part
	for i := range n {
		p := part(a.number, next+i, fmt.Sprint(a.name, " part ", next+i))
		p.Size, p.CompressedSize, p.Memories = rapid.Int64Range(1, 100).Draw(t, "size"), 0, rapid.Int64Range(0, 30).Draw(t, "memories")
		parts = append(parts, p)
	}
	return step{a.job, fmt.Sprint(a.name, " records parts of range ", a.number, " from ", next),
		func() (any, error) { return nil, m.store.Record(m.ctx, a.id, last, parts) },
		func() (any, error) {
			err := m.model.record(a.job, a.number, last, parts)
			if a.next, a.last = next, last; err == nil {
				a.next, a.last = next+n, parts[n-1].Object
			}
			return nil, err
		},
	}
}

// count begins an attempt of Publish, which counts what the complete ranges hold.
func (m *machine) count(t *rapid.T, j *job) publication {
	parts, err := m.store.Parts(m.ctx, j.id)
	agree(t, "count the parts", err, nil)
	counted := export.Count(parts)
	p := publication{job: j, file: export.File{Parts: counted.Parts, Memories: counted.Memories, Size: counted.Bytes, SHA256: digest[:]}}
	if rapid.Bool().Draw(t, "composed") {
		p.file.Object = "the file"
	}
	m.publications = append(m.publications, p)
	return p
}

// lose deletes the last part of a range, as Postgres does when it loses the last commits in a fail-over. A complete
// range loses its completion too, because that was committed later.
func (m *machine) lose(j *job, number int) {
	last := len(j.parts[number]) - 1
	lost := j.parts[number][last]
	m.db.MustExec(`DELETE FROM memexport.export_parts WHERE export_id = $1 AND range = $2 AND part = $3`, j.id, number, last)
	m.db.MustExec(`UPDATE memexport.exports SET complete_ranges = array_remove(complete_ranges, $2) WHERE id = $1`, j.id, number)
	j.parts[number], j.complete[number] = append([]export.Part(nil), j.parts[number][:last]...), false
	j.memories, j.bytes = j.memories-lost.Memories, j.bytes-lost.Size
	j.progress = 0 // only a fail-over makes it fall
}

// publish ends an attempt of Publish, perhaps long after it has counted the parts.
func (m *machine) publish(p publication) step {
	return step{p.job, "publish",
		func() (any, error) {
			e, err := m.store.Publish(m.ctx, p.id, p.file, retention)
			return e.ID, err
		},
		func() (any, error) {
			err := m.model.publish(p.job, p.file)
			if errors.Is(err, export.ErrNotFound) {
				return "", err
			}
			return p.id, err
		},
	}
}

func (m *machine) fail(j *job, code string) step {
	return step{j, "fail with " + code,
		func() (any, error) { return nil, m.store.Fail(m.ctx, j.id, export.Failures[code]) },
		func() (any, error) { return nil, m.model.fail(j, code) },
	}
}

func (m *machine) expire(j *job) step {
	return step{j, "expire",
		func() (any, error) { return nil, m.store.Expire(m.ctx, j.id) },
		func() (any, error) { return nil, m.model.expire(j) },
	}
}

func (m *machine) expireDue(j *job) step {
	return step{j, "expire if it is due",
		func() (any, error) { return m.store.ExpireDue(m.ctx, j.id) },
		func() (any, error) { return m.model.expireDue(j) },
	}
}

func (m *machine) purge(j *job) step {
	return step{j, "purge",
		func() (any, error) { return nil, m.store.Purged(m.ctx, j.id) },
		func() (any, error) { m.model.purge(j); return nil, nil },
	}
}

func (m *machine) delete(j *job, workspace string) step {
	return step{j, "delete",
		func() (any, error) { return nil, m.store.Delete(m.ctx, workspace, j.id) },
		func() (any, error) { return nil, m.model.delete(workspace, j) },
	}
}

// end makes a job FAILED, or EXPIRED if it is READY, as the activity Fail does.
func (m *machine) end(t *rapid.T, j *job, code string) {
	if conflict := m.do(t, m.fail(j, code)); conflict {
		m.do(t, m.expire(j))
	}
}
