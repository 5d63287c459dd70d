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

// uses writes the time of the last use of keys, beside the requests: no request waits for it. At most
// one statement runs at a time in a process.
type uses struct {
	db *sqlx.DB

	mu      sync.Mutex
	pending map[string]bool // IDs of keys that were used and not yet written; never more than there are keys
	writing bool            // whether a goroutine runs write
	resume  time.Time       // nothing is noted before this time
}

// note lets the use of a key be written soon.
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

// write writes what is pending until nothing is left.
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

// store writes that keys were used now. After an error, the next use is written in a minute or later:
// the keys are valid anyway, and a database with trouble needs no more work.
func (u *uses) store(ids []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second) // milliseconds are usual
	defer cancel()
	// A row that another process is writing at the moment is skipped. The condition holds across
	// processes, so that a row is written at most once a minute.
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
