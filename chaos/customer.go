package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"memexport/internal/workshop/parse"
)

// job is an export as its customer knows it.
type job struct {
	id      string
	ws      *workspace
	format  string
	filter  filter
	random  *rand.Rand
	ordered time.Time // before the request

	mu        sync.Mutex
	status    string
	cancelled bool // an operator cancelled the workflow, or began to
	ended     bool // an operator ended the downloads early, or began to
	killed    bool // an operator terminated the workflow, or began to
	deleted   bool // the customer deleted the export, or began to
	hasty     bool // the objects were deleted too early
}

// registry holds all jobs, for operators.
type registry struct {
	mu   sync.Mutex
	jobs []*job
}

func (g *registry) add(j *job) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.jobs = append(g.jobs, j)
}

// choose returns a random job that has one of the statuses, or nil.
func (g *registry) choose(r *rand.Rand, statuses ...string) *job {
	g.mu.Lock()
	defer g.mu.Unlock()
	found := slices.DeleteFunc(slices.Clone(g.jobs), func(j *job) bool {
		j.mu.Lock()
		defer j.mu.Unlock()
		return !slices.Contains(statuses, j.status) || j.deleted
	})
	if len(found) == 0 {
		return nil
	}
	return found[r.IntN(len(found))]
}

func (g *registry) byID() map[string]*job {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := map[string]*job{}
	for _, j := range g.jobs {
		all[j.id] = j
	}
	return all
}

// mark changes what is known about a job.
func (j *job) mark(change func(*job)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	change(j)
}

// customer creates exports until ctx ends.
func (w *world) customer(ctx context.Context, ws *workspace, r *rand.Rand) {
	names := slices.Sorted(maps.Keys(parse.Formats))
	from, to := 300*time.Millisecond, 3*time.Second
	if w.soak > 0 { // create fewer exports, so that the checker keeps up on a busy machine
		from, to = 2*time.Second, 10*time.Second
	}
	for burst := 0; burst > 0 || pause(ctx, between(r, from, to)); burst-- {
		if w.soak == 0 && burst <= 0 && r.IntN(30) == 0 { // reach the limit of unfinished exports
			burst = 2 * maxUnfinished
			w.countFault("a burst of exports")
		}
		ws.order(ctx, r, &job{format: names[r.IntN(len(names))], filter: ws.chooseFilter(r)})
	}
}

// order creates the export that j describes, and follows the export until it or the run ends. It returns nil if the
// service did not accept the export.
func (ws *workspace) order(ctx context.Context, r *rand.Rand, j *job) *job {
	w := ws.world
	j.ws, j.random = ws, rand.New(rand.NewPCG(r.Uint64(), 0))
	headers := []string{}
	if r.IntN(3) > 0 {
		headers = []string{"Idempotency-Key", uuid.NewString()}
	}
	j.ordered = time.Now()
	e := ws.create(ctx, r, j, headers)
	if e == nil {
		return nil
	}
	w.count("accepted")
	j.id, j.status = e.ID, e.Status
	w.jobs.add(j)
	w.followers.Go(func() { w.follow(w.following, j, e) })
	return j
}

// create creates an export. With an Idempotency-Key, it repeats the request until there is an answer, and then
// sometimes once more: both must name the same export.
func (ws *workspace) create(ctx context.Context, r *rand.Rand, j *job, headers []string) (first *object) {
	query := url.Values{"format": {j.format}}
	for name, value := range map[string]string{"user_id": j.filter.user, "priority": j.filter.priority,
		"created_after": j.filter.after, "created_before": j.filter.before} {
		if value != "" {
			query.Set(name, value)
		}
	}
	again := len(headers) > 0 && r.IntN(2) == 0
	for ctx.Err() == nil {
		a := ws.ask(ctx, r.IntN(2), "POST", "/v1/exports?"+query.Encode(), 0, headers...)
		switch {
		case a == nil && len(headers) == 0 && first == nil:
			return first
		case a != nil && a.status == 429:
			ws.judgeRefusal(a)
			return first
		case a != nil && a.status == 202:
			e := ws.export(a)
			if e == nil {
				break
			}
			if first != nil && first.ID != e.ID {
				ws.world.violate(e.ID, "one Idempotency-Key made two exports, %s and %s", first.ID, e.ID)
			}
			if first != nil || !again {
				return e
			}
			first = e
		case a != nil && a.status != 503 && a.status != 401:
			ws.world.violate("", "POST was answered with %d: %.300s", a.status, a.body)
			return first
		}
		pause(ctx, 200*time.Millisecond)
	}
	return first
}

// judgeRefusal checks a response with the status 429. It must name a limit that the workspace can reach, and have a
// Retry-After header.
func (ws *workspace) judgeRefusal(a *answer) {
	var problem struct{ Code string }
	if err := json.Unmarshal(a.body, &problem); err != nil && a.broken {
		return
	}
	large := ws == ws.world.workspaces[len(ws.world.workspaces)-1]
	if problem.Code != "EXPORT_LIMIT_REACHED" && (problem.Code != "STORAGE_LIMIT_REACHED" || !large) || a.header.Get("Retry-After") == "" {
		ws.world.violate("", "POST was answered with 429, Retry-After %q: %.300s", a.header.Get("Retry-After"), a.body)
	}
	ws.world.count("refused with " + problem.Code)
}

// legalSteps maps each status to the statuses that the next poll may find.
var legalSteps = map[string][]string{
	"PENDING":    {"PENDING", "PROCESSING", "READY", "EXPIRED", "FAILED"},
	"PROCESSING": {"PROCESSING", "READY", "EXPIRED", "FAILED"},
	"READY":      {"READY", "EXPIRED"},
	"EXPIRED":    {"EXPIRED"},
	"FAILED":     {"FAILED"},
}

// poll reads the export once and checks that its status only moves forward. known is the export as it was when it
// was last read. poll returns the export as it is now, or known if no API answered with the export.
func (j *job) poll(ctx context.Context, known *object, headers ...string) *object {
	w := j.ws.world
	a := j.ws.ask(ctx, j.random.IntN(2), "GET", "/v1/exports/"+j.id, 0, headers...)
	if a == nil || a.status == 503 || a.status == 401 || a.status == 429 {
		return known
	}
	if a.status != 200 {
		w.violate(j.id, "GET was answered with %d: %.300s", a.status, a.body)
		return known
	}
	e := j.ws.export(a)
	if e == nil {
		return known
	}
	if !slices.Contains(legalSteps[known.Status], e.Status) && (known.Status+e.Status != "EXPIREDREADY" || j.timely()) {
		w.violate(j.id, "the status was %s and is %s", known.Status, e.Status)
	}
	if e.Progress < known.Progress {
		w.violate(j.id, "progress was %d and is %d", known.Progress, e.Progress)
	}
	if known.SHA256 != nil && (e.SHA256 == nil || *e.SHA256 != *known.SHA256 || *e.SizeBytes != *known.SizeBytes || e.MemoryCount != known.MemoryCount) {
		w.violate(j.id, "the size, the count or the digest of the file has changed")
	}
	if e.Status == "READY" && !a.sent.Before(*e.ExpiresAt) && j.timely() {
		w.violate(j.id, "a request %s after expires_at found the export READY", a.sent.Sub(*e.ExpiresAt))
	}
	if e.Status == "EXPIRED" && known.ExpiresAt != nil && a.came.Before(*known.ExpiresAt) && !j.endedEarly() {
		w.violate(j.id, "the export expired %s early", known.ExpiresAt.Sub(a.came))
	}
	j.mark(func(j *job) { j.status = e.Status })
	return e
}

func (j *job) endedEarly() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.ended || j.cancelled || j.deleted || !j.timely()
}

// late reports whether more time has passed since the last fault than exports may need to end.
func (w *world) late() bool {
	healed := w.healed.Load()
	return healed != nil && time.Since(*healed) > w.bound
}

// follow follows an export from its creation until it is EXPIRED, FAILED or deleted.
func (w *world) follow(ctx context.Context, j *job, e *object) {
	deleteAt := -1 // how often to poll before the export is deleted
	if j.random.IntN(6) == 0 {
		deleteAt = j.random.IntN(20)
	}
	for polls := 0; e.Status == "PENDING" || e.Status == "PROCESSING"; polls++ {
		if polls == deleteAt {
			j.delete(ctx)
			return
		}
		if !pause(ctx, between(j.random, 50*time.Millisecond, time.Second)) {
			return
		}
		if w.late() {
			w.violate(j.id, "the export is still %s %s after the last fault", e.Status, w.bound)
			return
		}
		headers := []string{}
		if j.random.IntN(2) == 0 {
			headers = []string{"Prefer", fmt.Sprintf("wait=%d", 1+j.random.IntN(10))}
		}
		e = j.poll(ctx, e, headers...)
	}
	w.count("ended " + e.Status)
	if e.Status == "FAILED" {
		j.judgeFailure(e)
		return
	}
	if e.Status == "READY" && !j.download(ctx, e) {
		return
	}
	if j.random.IntN(4) == 0 {
		j.delete(ctx)
		return
	}
	j.outlive(ctx, e)
}

// judgeFailure checks that a fault explains the error code of a FAILED export. An outage of some minutes is not a
// valid explanation, because the service retries for 12 hours.
func (j *job) judgeFailure(e *object) {
	w := j.ws.world
	j.mu.Lock()
	cancelled, killed := j.cancelled, j.killed
	j.mu.Unlock()
	switch {
	case e.Error == nil:
		w.violate(j.id, "the export is FAILED without an error")
	case e.Error.Code == "CANCELLED" && cancelled, e.Error.Code == "TERMINATED" && killed:
		w.count("FAILED " + e.Error.Code)
	case e.Error.Code == "STORAGE_DENIED" && w.refused.Load() != nil && w.refused.Load().After(j.ordered), // not e.CreatedAt, because the clock of Postgres jumps
		e.Error.Code == "STORAGE_LIMIT" && j.ws == w.workspaces[len(w.workspaces)-1]:
		w.count("FAILED " + e.Error.Code)
	default:
		w.violate(j.id, "the export is FAILED with %s, but cancelled=%t and terminated=%t", e.Error.Code, cancelled, killed)
	}
}
