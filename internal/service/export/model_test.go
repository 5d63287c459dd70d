package export_test

import (
	"encoding/hex"
	"slices"
	"time"

	"memexport/internal/service/export"
	"memexport/internal/service/memory"
)

// model says what a Store must answer. It is a list of jobs and a clock, and shares no code with the Store.
type model struct {
	now    time.Time // the clock of the database
	limits export.Limits
	jobs   []*job // in the order of creation
}

// job is what the model knows about an export. A time that is zero has not come yet.
type job struct {
	id, workspace, format, key                       string
	status                                           export.Status // as recorded
	created, updated, dispatched, started, completed time.Time
	expires, purged, deleted                         time.Time
	removed                                          bool // the row is gone
	plan                                             []memory.PlannedRange
	parts                                            [2][]export.Part // of each range
	complete                                         [2]bool          // ranges to which nothing may be added
	memories, bytes                                  int64            // in the parts
	file                                             export.File      // what was published
	code                                             string           // why it is FAILED
	progress                                         int              // the greatest that a caller has seen
}

func (j *job) unfinished() bool { return j.status == export.Pending || j.status == export.Processing }
func (j *job) running() bool    { return j.unfinished() && !j.dispatched.IsZero() }
func (j *job) visible() bool    { return j.deleted.IsZero() && !j.removed }

// waiting reports whether the job waits for a place to run.
func (j *job) waiting() bool { return j.unfinished() && j.dispatched.IsZero() && j.visible() }

// change records a new status, or a deletion.
func (m *model) change(j *job, status export.Status) { j.status, j.updated = status, m.now }

// of returns the jobs of a workspace that satisfy a condition, in the order of creation.
func (m *model) of(workspace string, condition func(*job) bool) (found []*job) {
	for _, j := range m.jobs {
		if !j.removed && j.workspace == workspace && condition(j) {
			found = append(found, j)
		}
	}
	return found
}

// stored returns how many bytes of a workspace are not deleted.
func (m *model) stored(workspace string) (bytes int64) {
	for _, j := range m.of(workspace, func(j *job) bool { return j.purged.IsZero() }) {
		bytes += j.bytes
		if j.file.Object != "" {
			bytes += j.file.Size
		}
	}
	return bytes
}

// create returns the job that a request gets, and whether the request has made it.
func (m *model) create(workspace, format, key string) (j *job, isNew bool, err error) {
	if same := m.of(workspace, func(j *job) bool { return j.visible() && key != "" && j.key == key }); len(same) > 0 {
		if j = same[0]; j.format != format && j.purged.IsZero() {
			return nil, false, export.ErrKeyReused
		}
		return j, false, nil
	}
	running, waiting := len(m.of(workspace, (*job).running)), len(m.of(workspace, (*job).waiting))
	if most := m.limits.Unfinished; most > 0 && running+waiting >= most {
		return nil, false, &export.LimitError{Limit: export.LimitUnfinished, Max: int64(most)}
	}
	if most := m.limits.WorkspaceBytes; most > 0 && m.stored(workspace) >= most {
		return nil, false, &export.LimitError{Limit: export.LimitStored, Max: most}
	}
	j = &job{workspace: workspace, format: format, key: key, status: export.Pending, created: m.now, updated: m.now}
	if m.limits.Running == 0 || waiting == 0 && running < m.limits.Running {
		j.dispatched = m.now
	}
	m.jobs = append(m.jobs, j)
	return j, true, nil
}

// claim gives the free places of a workspace to the jobs that have waited longest, and returns these.
func (m *model) claim(workspace string) []*job {
	waiting := m.of(workspace, (*job).waiting)
	free := len(waiting)
	if m.limits.Running > 0 {
		free = min(free, m.limits.Running-len(m.of(workspace, (*job).running)))
	}
	if free <= 0 {
		return nil
	}
	if most := m.limits.WorkspaceBytes; most > 0 && m.stored(workspace) >= most {
		for _, j := range waiting {
			_ = m.fail(j, export.CodeStorageLimit) // a waiting job is unfinished, so fail never refuses
		}
		return nil
	}
	for _, j := range waiting[:free] {
		j.dispatched = m.now
	}
	return waiting[:free]
}

func (m *model) start(j *job, plan []memory.PlannedRange) ([]memory.PlannedRange, error) {
	switch {
	case j.removed:
		return nil, export.ErrNotFound
	case j.status == export.Pending:
		m.change(j, export.Processing)
		j.started, j.plan = m.now, plan
	case j.status != export.Processing && j.status != export.Ready:
		return nil, export.ErrConflict
	}
	return j.plan, nil
}

func (m *model) record(j *job, number int, previous string, parts []export.Part) error {
	recorded := j.parts[number]
	if j.removed || j.status != export.Processing || j.complete[number] || parts[0].Number != len(recorded) ||
		len(recorded) > 0 && recorded[len(recorded)-1].Object != previous {
		return export.ErrConflict
	}
	j.parts[number] = append(recorded, parts...)
	for _, p := range parts {
		j.memories += p.Memories
		j.bytes += p.Size
	}
	return nil
}

func (m *model) completeRange(j *job, number, parts int) error {
	if j.removed {
		return export.ErrNotFound
	}
	if j.status != export.Processing || parts != len(j.parts[number]) {
		return export.ErrConflict
	}
	j.complete[number] = true
	return nil
}

func (m *model) publish(j *job, f export.File) error {
	switch {
	case j.removed:
		return export.ErrNotFound
	case j.status == export.Processing && (f.Parts != len(j.parts[0])+len(j.parts[1]) || f.Memories != j.memories):
		return export.ErrConflict
	case j.status == export.Processing:
		m.change(j, export.Ready)
		j.completed, j.expires, j.file = m.now, m.now.Add(retention), f
	case j.status != export.Ready && j.status != export.Expired:
		return export.ErrConflict
	}
	return nil
}

func (m *model) fail(j *job, code string) error {
	switch {
	case j.removed:
		return export.ErrNotFound
	case !j.unfinished():
		return export.ErrConflict
	}
	m.change(j, export.Failed)
	j.completed, j.code = m.now, code
	return nil
}

func (m *model) expire(j *job) error {
	if j.removed || j.status != export.Ready {
		return export.ErrConflict
	}
	if m.now.Before(j.expires) {
		j.expires = m.now
	}
	j.status, j.updated = export.Expired, j.expires
	return nil
}

func (m *model) expireDue(j *job) (left time.Duration, err error) {
	if j.status == export.Ready && j.visible() && m.now.Before(j.expires) {
		return j.expires.Sub(m.now), nil
	}
	return 0, m.expire(j)
}

func (m *model) purge(j *job) {
	if j.purged.IsZero() {
		j.purged, j.plan, j.parts, j.file.Object = m.now, nil, [2][]export.Part{}, ""
	}
}

func (m *model) delete(workspace string, j *job) error {
	if j.workspace != workspace || !j.visible() {
		return export.ErrNotFound
	}
	m.change(j, j.status)
	j.deleted = m.now
	return nil
}

// overdue returns the jobs whose next step is late.
func (m *model) overdue() (found []*job) {
	passed := func(t time.Time, d time.Duration) bool { return !t.IsZero() && m.now.Sub(t) > d }
	for _, j := range m.jobs {
		late := j.running() && passed(j.updated, slack) ||
			j.status == export.Ready && passed(j.expires, slack) ||
			(j.status == export.Failed || j.status == export.Expired) && passed(j.updated, slack+grace) ||
			passed(j.deleted, slack)
		if late && !j.removed && j.purged.IsZero() {
			found = append(found, j)
		}
	}
	return found
}

// remove deletes the row.
func (m *model) remove(j *job) { j.removed, j.plan, j.parts = true, nil, [2][]export.Part{} }

// deleteHistory removes the jobs that were purged longer than age ago, and returns their number.
func (m *model) deleteHistory(age time.Duration) (n int) {
	for _, j := range m.jobs {
		if !j.removed && !j.purged.IsZero() && m.now.Sub(j.purged) > age {
			m.remove(j)
			n++
		}
	}
	return n
}

// seen returns the status that a caller must see, which is the recorded one until the clock reaches expires.
func (m *model) seen(j *job) export.Status {
	if j.status == export.Ready && !m.now.Before(j.expires) {
		return export.Expired
	}
	return j.status
}

// changed returns the UpdatedAt that a caller must see. For an expired READY job it is the time of expiry.
func (m *model) changed(j *job) time.Time {
	if m.seen(j) != j.status {
		return j.expires
	}
	return j.updated
}

// view holds everything that callers see of an export, except the progress.
type view struct {
	id, workspace, format                            string
	seen, recorded                                   export.Status
	created, updated, dispatched, started, completed time.Time
	expires, purged, deleted                         time.Time
	memories, size                                   int64
	digest, object, code                             string
}

func (m *model) view(j *job) view {
	return view{id: j.id, workspace: j.workspace, format: j.format, seen: m.seen(j), recorded: j.status,
		created: j.created, updated: m.changed(j), dispatched: j.dispatched, started: j.started, completed: j.completed,
		expires: j.expires, purged: j.purged, deleted: j.deleted,
		memories: j.memories, size: j.file.Size, digest: hex.EncodeToString(j.file.SHA256), object: j.file.Object, code: j.code}
}

// views returns the views of jobs, newest first if reverse is true.
func (m *model) views(jobs []*job, reverse bool) (views []view) {
	for _, j := range jobs {
		views = append(views, m.view(j))
	}
	if reverse {
		slices.Reverse(views)
	}
	return views
}
