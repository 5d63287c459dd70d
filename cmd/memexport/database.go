package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"memexport/internal/service/config"
	"memexport/internal/service/postgres"
)

// silence is how long Postgres may send nothing while a statement on the service's own tables runs. Each of
// these statements needs milliseconds, or seconds on a slow disk.
const silence = 2 * time.Minute

// openMigrated opens the service's database. It returns an error unless all migrations have been
// applied. If role is not empty, the user of the database must have the privileges of that role.
func openMigrated(ctx context.Context, cfg config.Config, role string) (*sqlx.DB, error) {
	db, err := openDatabase(ctx, "DATABASE_URL", cfg.DatabaseURL, postgres.Options{MaxConns: cfg.Concurrency + 16, Silence: silence, Prepare: true, Observed: true})
	if err != nil {
		return nil, err
	}
	if role != "" {
		err = postgres.CheckGrants(ctx, db, role)
	}
	if err == nil {
		err = ownerOnly(postgres.CheckMigrated(ctx, db))
	}
	if err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

// ownerOnly adds a remedy to the error of a command that needs the role that ran `memexport migrate`, if its user lacks
// a privilege.
func ownerOnly(err error) error {
	if pq.As(err, pqerror.InsufficientPrivilege) == nil {
		return err
	}
	return fmt.Errorf("%w: set DATABASE_URL to the role that ran `memexport migrate` (docs/security.md)", err)
}

// openDatabase opens a database, directly or through a pooler. It returns an error if the database does not
// answer within 15 seconds. setting is the name of the environment variable that contains the URL; error
// messages mention this name. o.MaxConns must not be 1, because openDatabase uses two connections at once.
func openDatabase(ctx context.Context, setting, dsn string, o postgres.Options) (*sqlx.DB, error) {
	db, err := openPool(setting, dsn, o)
	if err != nil {
		return nil, err
	}
	o.Pooled, err = sharesSessions(ctx, setting, db)
	if err == nil && !o.Pooled {
		return db, nil
	}
	db.Close()
	if err != nil {
		return nil, err
	}
	return openPool(setting, dsn, o)
}

// openPool is postgres.OpenWith with errors that mention the setting.
func openPool(setting, dsn string, o postgres.Options) (*sqlx.DB, error) {
	db, err := postgres.OpenWith(dsn, o)
	if err != nil {
		u, parseErr := url.Parse(dsn)
		if !errors.Is(err, postgres.ErrSeveralServers) && (parseErr != nil || !strings.HasPrefix(u.Scheme, "postgres")) {
			// Replace the error, because it contains the text that could not be parsed, and that text
			// contains the password.
			err = errors.New("give a URL such as postgres://user:password@host:5432/name, with special characters percent-encoded")
		}
		return nil, fmt.Errorf("%s is not valid: %w", setting, err)
	}
	return db, nil
}

// sharesSessions waits up to 15 seconds until a database answers, and reports whether the connections go
// through a pooler that may run each transaction in another session.
func sharesSessions(ctx context.Context, setting string, db *sqlx.DB) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	shared := false
	err := postgres.WaitReady(ctx, db)
	if err == nil {
		shared, err = postgres.SharesSessions(ctx, db)
	}
	if err != nil {
		return false, fmt.Errorf("the database in %s does not answer: check that it runs, and the host, port, name, user, password and sslmode of the URL: %w", setting, err)
	}
	return shared, nil
}
