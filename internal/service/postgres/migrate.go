package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate applies the migrations that the schema memexport lacks, and returns their number. Several
// processes may call Migrate at the same time: one migrates, and the others wait until it has
// finished.
func Migrate(ctx context.Context, db *sqlx.DB) (int, error) {
	provider, err := newProvider(ctx, db)
	if err != nil {
		return 0, err
	}
	results, err := provider.Up(ctx)
	if err != nil {
		return 0, fmt.Errorf("migrate the schema memexport: %w", err)
	}
	return len(results), nil
}

// CheckMigrated returns an error if the schema memexport lacks a migration that this program needs. A
// schema that is newer than the program is fine.
func CheckMigrated(ctx context.Context, db *sqlx.DB) error {
	var missing bool
	if err := db.GetContext(ctx, &missing, `SELECT to_regclass('memexport.schema_version') IS NULL`); err != nil {
		return err
	}
	if !missing {
		var version int64
		if err := db.GetContext(ctx, &version, `SELECT coalesce(max(version_id), 0) FROM memexport.schema_version WHERE is_applied`); err != nil {
			return err
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

func newProvider(ctx context.Context, db *sqlx.DB) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	// The schema is created before the first migration, because goose keeps its own table in it. Unlike
	// CREATE SCHEMA IF NOT EXISTS, this statement does not fail if two processes run it at the same time.
	const createSchema = `DO $$ BEGIN CREATE SCHEMA memexport; EXCEPTION WHEN duplicate_schema OR unique_violation THEN NULL; END $$`
	if _, err := db.ExecContext(ctx, createSchema); err != nil {
		return nil, fmt.Errorf("create the schema memexport: %w", err)
	}
	// A process that finds the lock taken tries again every second, for five minutes.
	const period, attempts = 1, 300
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(period, attempts))
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectPostgres, db.DB, files,
		goose.WithSessionLocker(locker), goose.WithTableName("memexport.schema_version"))
}

// latestVersion returns the version of the newest migration in this program.
func latestVersion() (int64, error) {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return 0, err
	}
	return goose.NumericComponent(files[len(files)-1])
}
