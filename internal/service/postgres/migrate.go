package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

// MigrateOptions configure a migration. The zero value is fine.
type MigrateOptions struct {
	// Patience is how long MigrateWith tries to get a lock that others hold. Zero means 10 minutes, which is less
	// than the Job of deploy/kubernetes may take, so that the Job shows the reason.
	Patience time.Duration
	// Tell is called with a line of text when the migration waits for a lock, and when the reason changes.
	Tell func(line string)
}

// lockWait is how long a statement of a migration waits for a lock. Everything that wants the same table waits
// behind it, so this must be shorter than the limits of requests. It must be longer than Postgres's
// deadlock_timeout of 1 second, after which autovacuum makes way.
const lockWait = 2 * time.Second

// The pause before another attempt grows from the first to the second. Meanwhile, the table can be used.
const minPause, maxPause = time.Second, 15 * time.Second

// Migrate applies the migrations that the schema memexport lacks, and returns their number. Several
// processes may call Migrate at the same time: one migrates, and the others wait until it has
// finished.
func Migrate(ctx context.Context, db *sqlx.DB) (int, error) {
	return MigrateWith(ctx, db, MigrateOptions{})
}

// MigrateWith is like Migrate, with options. It does not keep others from a table while a backup or another long
// transaction holds a lock on it: it gives up after a short wait, and tries again later.
func MigrateWith(ctx context.Context, db *sqlx.DB, o MigrateOptions) (int, error) {
	patience := cmp.Or(o.Patience, 10*time.Minute)
	begin, pause, applied, told := time.Now(), minPause, 0, ""
	for {
		n, reason, err := migrateOnce(ctx, db)
		applied += n
		switch {
		case err == nil:
			return applied, nil
		case reason == "":
			return applied, fmt.Errorf("migrate the schema memexport: %w", explainMigration(ctx, db, err))
		case time.Since(begin) >= patience:
			return applied, fmt.Errorf("migrate the schema memexport: within %s, %s: wait until that backup or transaction has ended, "+
				"or end it with SELECT pg_terminate_backend(process), and run `memexport migrate` again: %w", patience, reason, err)
		}
		if o.Tell != nil && reason != told {
			o.Tell(reason + ": trying again for " + patience.String() + " until that backup or transaction has ended; the service goes on meanwhile")
			told = reason
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, maxPause)
		case <-ctx.Done():
			return applied, fmt.Errorf("migrate the schema memexport: %s: %w", reason, ctx.Err())
		}
	}
}

// explainMigration adds a remedy to an error of a migration, if the user of db lacks a privilege or the database refuses
// to write.
func explainMigration(ctx context.Context, db *sqlx.DB, err error) error {
	if pq.As(err, pqerror.InsufficientPrivilege) == nil {
		return explainReadOnly(err)
	}
	var user, database string
	var owner *string // nil without the schema
	row := db.QueryRowContext(ctx, `SELECT current_user, current_database(), (SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'memexport')`)
	if row.Scan(&user, &database, &owner) != nil {
		return err
	}
	user = pq.QuoteIdentifier(user)
	if owner == nil {
		return fmt.Errorf("%w: as an administrator of the database, run GRANT CREATE ON DATABASE %s TO %s;", err, pq.QuoteIdentifier(database), user)
	}
	return fmt.Errorf("%w: set DATABASE_URL to the role %s, which owns the schema memexport, or make %s the owner of the schema, its tables and its functions (docs/security.md)",
		err, pq.QuoteIdentifier(*owner), user)
}

// migrateOnce applies migrations until one of them does not get a lock in time. It then returns the reason. A
// migration that failed has changed nothing, because each one is a transaction.
func migrateOnce(ctx context.Context, db *sqlx.DB) (applied int, reason string, err error) {
	l, err := newLocker()
	if err != nil {
		return 0, "", err
	}
	provider, err := newProvider(ctx, db, l)
	if err != nil {
		return 0, "", err
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	holders := make(chan string, 1)
	go func() { holders <- l.watch(watching, db) }()
	results, err := provider.Up(ctx)
	stop()
	holder := <-holders
	var failed *goose.PartialError
	if !errors.As(err, &failed) {
		return len(results), "", err
	}
	// After a deadlock too, another attempt may succeed.
	if pq.As(err, pqerror.LockNotAvailable, pqerror.TRDeadlockDetected) != nil {
		reason = fmt.Sprintf("%s got no lock, because %s", failed.Failed.Source.Path, cmp.Or(holder, "a backup or another long transaction has locked a table"))
	}
	return len(failed.Applied), reason, err
}

// locker is the lock that keeps processes from migrating at the same time. It also limits how long the session
// that holds it waits for other locks.
type locker struct {
	lock.SessionLocker
	pid atomic.Int64 // the process in Postgres of that session
}

func newLocker() (*locker, error) {
	// A process that finds the lock taken tries again every second, for five minutes.
	const period, attempts = 1, 300
	session, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(period, attempts))
	if err != nil {
		return nil, err
	}
	return &locker{SessionLocker: session}, nil
}

func (l *locker) SessionLock(ctx context.Context, conn *sql.Conn) error {
	if err := l.SessionLocker.SessionLock(ctx, conn); err != nil {
		return fmt.Errorf("get the lock that keeps others from migrating: %w", err)
	}
	var pid int64
	row := conn.QueryRowContext(ctx, `SELECT pg_backend_pid() FROM set_config('lock_timeout', $1, false)`, fmt.Sprint(lockWait.Milliseconds()))
	if err := row.Scan(&pid); err != nil {
		return errors.Join(fmt.Errorf("set lock_timeout: %w", err), l.SessionLocker.SessionUnlock(context.WithoutCancel(ctx), conn))
	}
	l.pid.Store(pid)
	return nil
}

func (l *locker) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, `RESET lock_timeout`)
	return errors.Join(err, l.SessionLocker.SessionUnlock(ctx, conn))
}

// watch returns who keeps the session from a lock, as seen last, or "" if nobody does. It ends with ctx. It asks
// while the session waits, because only then Postgres knows whom it waits for. It needs a second connection of db.
func (l *locker) watch(ctx context.Context, db *sqlx.DB) (holder string) {
	// Roles without pg_read_all_stats do not see xact_start of others. Process 0 is a prepared transaction.
	const query = `SELECT coalesce((SELECT relnamespace::regnamespace || '.' || relname FROM pg_locks JOIN pg_class c ON c.oid = relation
				WHERE pid = $1 AND NOT granted LIMIT 1), 'a row') || ' is locked by ' ||
			string_agg('process ' || blocker || coalesce(' (' || nullif(concat_ws(', ', nullif(application_name, ''), 'user ' || usename,
				'since ' || to_char(xact_start, 'YYYY-MM-DD HH24:MI:SSOF')), '') || ')', ''), ' and ' ORDER BY blocker)
		FROM (SELECT DISTINCT unnest(pg_blocking_pids($1)) AS blocker) b LEFT JOIN pg_stat_activity ON pid = blocker
		HAVING count(*) > 0`
	for {
		select {
		case <-time.After(lockWait / 4):
		case <-ctx.Done():
			return holder
		}
		var seen string
		if pid := l.pid.Load(); pid != 0 && db.GetContext(ctx, &seen, query, pid) == nil {
			holder = seen
		}
	}
}

// CheckMigrated returns an error if the schema memexport lacks a migration that this program needs. A
// schema that is newer than the program is fine.
func CheckMigrated(ctx context.Context, db *sqlx.DB) error {
	var missing bool
	if err := db.GetContext(ctx, &missing, `SELECT to_regclass('memexport.schema_version') IS NULL`); err != nil {
		return fmt.Errorf("read the version of the schema memexport: %w", err)
	}
	if !missing {
		var version int64
		if err := db.GetContext(ctx, &version, `SELECT coalesce(max(version_id), 0) FROM memexport.schema_version WHERE is_applied`); err != nil {
			return fmt.Errorf("read the version of the schema memexport: %w", err)
		}
		latest, err := latestVersion()
		if err != nil {
			return err
		}
		missing = version < latest
	}
	if missing {
		return errors.New("the schema memexport in DATABASE_URL is not up to date: run `memexport migrate`")
	}
	return nil
}

func newProvider(ctx context.Context, db *sqlx.DB, l lock.SessionLocker) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	// The schema is created before the first migration, because goose keeps its own table in it. Unlike
	// CREATE SCHEMA IF NOT EXISTS, this statement does not fail if two processes run it at the same time, and
	// needs no privilege if the schema exists.
	const createSchema = `DO $$ BEGIN
		IF to_regnamespace('memexport') IS NULL THEN CREATE SCHEMA memexport; END IF;
	EXCEPTION WHEN duplicate_schema OR unique_violation THEN NULL; END $$`
	if _, err := db.ExecContext(ctx, createSchema); err != nil {
		return nil, fmt.Errorf("create the schema memexport: %w", err)
	}
	return goose.NewProvider(goose.DialectPostgres, db.DB, files,
		goose.WithSessionLocker(l), goose.WithTableName("memexport.schema_version"))
}

// latestVersion returns the version of the newest migration in this program.
func latestVersion() (int64, error) {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return 0, err
	}
	return goose.NumericComponent(files[len(files)-1])
}
