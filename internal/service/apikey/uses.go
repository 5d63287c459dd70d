package apikey

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// uses writes the times at which keys were last used. It writes them in the background, so that no
// request waits, and with at most one statement at a time.
type uses struct {
	db *sqlx.DB

	mu      sync.Mutex
	pending map[string]bool // IDs of keys whose use is not written yet
	writing bool            // whether a goroutine runs write
	resume  time.Time       // uses before this time are ignored
}

// note records that a key was used. A goroutine writes the use to the database soon.
func (u *uses) note(id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if time.Now().Before(u.resume) {
		return
	}
	if u.pending == nil {
		u.pending = map[string]bool{}
	}
	u.pending[id] = true
	if !u.writing {
		u.writing = true
		go u.write()
	}
}

// write writes pending uses until none are left or writing fails.
func (u *uses) write() {
	for {
		u.mu.Lock()
		ids := slices.Collect(maps.Keys(u.pending))
		clear(u.pending)
		u.writing = len(ids) > 0
		u.mu.Unlock()
		if len(ids) == 0 || u.store(ids) != nil {
			return
		}
	}
}

// store writes that the given keys were used now. After an error, it drops all pending uses and makes note
// ignore further uses until usedEvery has passed. So a failing database gets no extra load. The keys stay
// valid.
func (u *uses) store(ids []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second) // the statement usually takes milliseconds
	defer cancel()
	// SKIP LOCKED leaves out rows that another process is writing. All processes check the stored
	// time, so that a row is written at most once a minute.
	_, err := u.db.ExecContext(ctx, `UPDATE memexport.api_keys SET last_used_at = now() WHERE id IN (
		SELECT id FROM memexport.api_keys WHERE id = ANY($1) AND (last_used_at IS NULL OR last_used_at < now() - make_interval(secs => $2))
		FOR UPDATE SKIP LOCKED)`, pq.Array(ids), usedEvery.Seconds())
	if err != nil {
		u.mu.Lock()
		u.resume, u.writing = time.Now().Add(usedEvery), false
		clear(u.pending)
		u.mu.Unlock()
	}
	return err
}
