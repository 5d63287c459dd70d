package main

import (
	"context"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"memexport/internal/service/apikey"
	"memexport/internal/workshop/demo"
	"memexport/internal/workshop/parse"
)

// canary is a word in every memory. It must appear in no log, and not in Temporal's state.
const canary = "xyzzychaoscanary"

// span is the time in which a change was committed: not before begin, and not after done.
type span struct{ begin, done time.Time }

// version is one content of a memory.
type version struct {
	hash uint64
	from span
}

// fact is what the checker knows about one memory.
type fact struct {
	created, user, priority string // updates never change these
	versions                []version
	inserted                span
	deleted                 *span
}

// workspace is a tenant with its memories and its API key.
type workspace struct {
	id     string
	world  *world
	hashes maphash.Seed

	truth sync.RWMutex // locked during each change of memories
	facts map[string]*fact
	ids   []string // of all facts, so that a random one can be chosen

	keys  sync.Mutex
	key   string // the present API key
	keyID string
}

// makeWorkspaces creates a small, a middle and a large workspace, each with memories and a key.
func (w *world) makeWorkspaces(ctx context.Context) error {
	for _, n := range []int{300, 4_000, w.large} {
		ws := &workspace{id: uuid.NewString(), world: w, hashes: maphash.MakeSeed(), facts: map[string]*fact{}}
		if _, err := demo.Fill(ctx, w.db, ws.id, n); err != nil {
			return err
		}
		_, err := w.db.ExecContext(ctx, `UPDATE memories SET memory = memory || $2 || repeat(md5(id::text) || ' ', 20) WHERE workspace_id = $1`, ws.id, " "+canary+" ")
		if err != nil {
			return err
		}
		memories, err := parse.Table(ctx, w.db.DB, ws.id, "")
		if err != nil {
			return err
		}
		for i := range memories {
			ws.add(&memories[i], span{})
		}
		if err := ws.renewKey(ctx); err != nil {
			return err
		}
		w.workspaces = append(w.workspaces, ws)
	}
	_, err := w.db.ExecContext(ctx, `VACUUM ANALYZE memories`)
	return err
}

func (ws *workspace) add(m *parse.Memory, at span) {
	f := &fact{created: *m.Created, priority: m.Priority, inserted: at, versions: []version{{ws.hash(m), at}}}
	if m.User != nil {
		f.user = *m.User
	}
	ws.facts[m.ID] = f
	ws.ids = append(ws.ids, m.ID)
}

func (ws *workspace) hash(m *parse.Memory) uint64 {
	return maphash.String(ws.hashes, strings.Join(m.Fields(), "\x1f"))
}

// renewKey creates another API key and revokes the present one. It returns after the revocation is committed.
func (ws *workspace) renewKey(ctx context.Context) error {
	store := apikey.NewStore(ws.world.db)
	secret, key, err := store.Create(ctx, ws.id, "chaos", apikey.TestPrefix, apikey.Permissions)
	if err != nil {
		return err
	}
	ws.keys.Lock()
	old := ws.keyID
	ws.key, ws.keyID = secret, key.ID
	ws.keys.Unlock()
	if old == "" {
		return nil
	}
	return store.Revoke(ctx, old)
}

func (ws *workspace) secret() string {
	ws.keys.Lock()
	defer ws.keys.Unlock()
	return ws.key
}

// mutate changes memories until ctx ends.
func (ws *workspace) mutate(ctx context.Context, r *rand.Rand) {
	for pause(ctx, between(r, 50*time.Millisecond, 600*time.Millisecond)) {
		chosen := make([]string, 1+r.IntN(5))
		switch r.IntN(3) {
		case 0:
			for i := range chosen {
				chosen[i] = uuid.NewString()
			}
			created := time.Now()
			if r.IntN(2) == 0 { // also insert among the existing memories, and not only after the last one
				created = time.Date(2025, 1, 1+r.IntN(300), r.IntN(24), r.IntN(60), 0, r.IntN(1_000_000)*1000, time.UTC)
			}
			ws.change(chosen, `INSERT INTO memories (id, memory, user_id, priority, status, categories, workspace_id, created_at)
				SELECT id, $3, 'user-' || $4, 'LOW', 'COMPLETED', '{chaos}', $2, $5 FROM unnest($1::uuid[]) id`,
				ws.id, "inserted "+canary, fmt.Sprint(r.IntN(100)), created)
		case 1:
			ws.choose(r, chosen)
			ws.change(chosen, `UPDATE memories SET memory = $3, updated_at = now(), access_count = access_count + 1
				WHERE id = ANY($1) AND workspace_id = $2`, ws.id, fmt.Sprintf("updated %s %d", canary, r.Uint64()))
		case 2:
			ws.choose(r, chosen)
			ws.change(chosen, `DELETE FROM memories WHERE id = ANY($1) AND workspace_id = $2`, ws.id)
		}
	}
}

// choose fills chosen with the ids of random memories, which may be deleted already.
func (ws *workspace) choose(r *rand.Rand, chosen []string) {
	for i := range chosen {
		chosen[i] = ws.ids[r.IntN(len(ws.ids))]
	}
}

// change executes a statement, whose first argument is the ids that it changes, and records what has become of
// these memories. If Postgres dies meanwhile, the commit may have happened or not. So change reads the memories
// again when Postgres is back.
func (ws *workspace) change(ids []string, statement string, args ...any) {
	ws.truth.Lock()
	defer ws.truth.Unlock()
	// Go on even after the last fault, because the checker must know whether the change was committed.
	ctx, stop := context.WithTimeout(context.Background(), 5*time.Minute)
	defer stop()
	begin := time.Now()
	_, err := ws.world.db.ExecContext(ctx, statement, append([]any{pq.Array(ids)}, args...)...)
	done := time.Now()
	if err == nil {
		ws.world.count("changes of memories")
	} else {
		ws.world.count("changes of memories with an unknown commit")
	}
	found, readErr := ws.read(ctx, ids)
	for readErr != nil && pause(ctx, 100*time.Millisecond) {
		found, readErr = ws.read(ctx, ids)
	}
	if readErr != nil {
		ws.world.violate("", "Postgres did not come back, so the test has failed: %v", readErr)
		return
	}
	if err != nil {
		done = time.Now()
	}
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		ws.learn(id, found[id], span{begin, done})
	}
}

func (ws *workspace) read(ctx context.Context, ids []string) (map[string]*parse.Memory, error) {
	memories, err := parse.Table(ctx, ws.world.db.DB, ws.id, "id = ANY($2)", pq.Array(ids))
	found := map[string]*parse.Memory{}
	for i := range memories {
		found[memories[i].ID] = &memories[i]
	}
	return found, err
}

// learn records a memory as it is after a change. m is nil if it does not exist.
func (ws *workspace) learn(id string, m *parse.Memory, at span) {
	f := ws.facts[id]
	switch {
	case f == nil && m != nil:
		ws.add(m, at)
	case f != nil && m == nil && f.deleted == nil:
		f.deleted = &at
	case f != nil && m != nil:
		if h := ws.hash(m); h != f.versions[len(f.versions)-1].hash {
			f.versions = append(f.versions, version{h, at})
		}
	}
}

// filter is what an export selects. The zero value selects everything.
type filter struct{ user, priority, after, before string }

func (f filter) matches(m *fact) bool {
	return (f.user == "" || m.user == f.user) && (f.priority == "" || m.priority == f.priority) &&
		(f.after == "" || m.created >= f.after) && (f.before == "" || m.created < f.before)
}

// chooseFilter returns a filter with values that memories of the workspace have.
func (ws *workspace) chooseFilter(r *rand.Rand) (f filter) {
	ws.truth.RLock()
	defer ws.truth.RUnlock()
	some := func() *fact { return ws.facts[ws.ids[r.IntN(len(ws.ids))]] }
	switch r.IntN(6) {
	case 0:
		f.user = some().user
	case 1:
		f.priority = some().priority
	case 2:
		f.after, f.before = some().created, some().created
		if f.after >= f.before {
			f.after = ""
		}
	}
	return f
}

// wrong compares the memories of a file with the truth. The export read the table at some time between from
// and to. wrong returns at most five differences that no order of events explains.
func (ws *workspace) wrong(memories []parse.Memory, f filter, from, to time.Time) (problems []string) {
	ws.truth.RLock()
	defer ws.truth.RUnlock()
	note := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	seen := make(map[string]bool, len(memories))
	for i := range memories {
		m := &memories[i]
		known := ws.facts[m.ID]
		if i > 0 {
			if before := &memories[i-1]; *before.Created > *m.Created || *before.Created == *m.Created && before.ID >= m.ID {
				note("memory %d (%s) is not in order", i, m.ID)
			}
		}
		switch {
		case seen[m.ID]:
			note("memory %s appears twice", m.ID)
		case m.Workspace != ws.id || known == nil:
			note("memory %s is of the workspace %s and not of %s", m.ID, m.Workspace, ws.id)
		case !f.matches(known):
			note("memory %s does not match the filter", m.ID)
		case known.inserted.begin.After(to):
			note("memory %s was inserted after the export had ended", m.ID)
		case known.deleted != nil && known.deleted.done.Before(from):
			note("memory %s was deleted before the export was created", m.ID)
		case !known.had(ws.hash(m), from, to):
			note("memory %s has a content that it did not have during the export", m.ID)
		}
		seen[m.ID] = true
	}
	missing := 0
	for id, known := range ws.facts {
		if !seen[id] && f.matches(known) && known.inserted.done.Before(from) && (known.deleted == nil || known.deleted.begin.After(to)) {
			if missing++; missing == 1 {
				note("memory %s is missing", id)
			}
		}
	}
	if missing > 1 {
		note("%d memories are missing", missing)
	}
	if n := len(problems); n > 5 {
		problems = append(problems[:4], fmt.Sprintf("and %d more", n-4))
	}
	return problems
}

// had reports whether the memory may have had this content at some time between two instants.
func (f *fact) had(hash uint64, from, to time.Time) bool {
	for i, v := range f.versions {
		if v.hash == hash && !v.from.begin.After(to) && (i == len(f.versions)-1 || !f.versions[i+1].from.done.Before(from)) {
			return true
		}
	}
	return false
}
