package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"memexport/internal/service/memory"
	"memexport/internal/workshop/demo"
)

// seedMemories is the number of memories that are made up one by one; all others are copies of
// them with another id and another time.
const seedMemories = 10_000

// dataset is a workspace with a known content.
type dataset struct {
	name     string
	memories int
	insert   func(ctx context.Context, tx *sqlx.Tx, d dataset) error
}

var (
	seed = dataset{name: "seed", memories: seedMemories}
	tiny = distinct(100)
)

// workspace is the same for the same data set in every run, so that it is made only once.
func (d dataset) workspace() string {
	return uuid.NewSHA1(uuid.NameSpaceOID, []byte("memexport benchmark "+d.name)).String()
}

// distinct is n memories, whose created_at differ nearly all, as in the demo.
func distinct(n int) dataset {
	// The seed covers a little more than six days.
	return copies(fmt.Sprintf("%s memories", grouped(n)), n, `created_at + $2::int * interval '7 days'`)
}

// sameInstant is n memories that share one created_at, as after a bulk import.
func sameInstant(n int) dataset {
	return copies(fmt.Sprintf("%s memories of one instant", grouped(n)), n, `timestamptz '2025-06-01 12:00:00Z' + 0 * $2::int * interval '1 day'`)
}

func copies(name string, n int, createdAt string) dataset {
	return dataset{name, n, func(ctx context.Context, tx *sqlx.Tx, d dataset) error {
		statement := `INSERT INTO memories (` + strings.Join(memory.Columns, ", ") + `)
			SELECT gen_random_uuid(), memory, user_id, agent_id, session_id, priority, status, categories, metadata, $1::uuid,
				access_count, last_accessed_at + $2::int * interval '7 days', ` + createdAt + `, updated_at + $2::int * interval '7 days'
			FROM memories WHERE workspace_id = $3 ORDER BY created_at, id LIMIT $4`
		told := time.Now()
		for done := 0; done < n; done += seedMemories {
			_, err := tx.ExecContext(ctx, statement, d.workspace(), done/seedMemories, seed.workspace(), min(seedMemories, n-done))
			if err != nil {
				return err
			}
			if time.Since(told) > 10*time.Second {
				told = time.Now()
				say("  %s of %s", grouped(done+seedMemories), grouped(n))
			}
		}
		return nil
	}}
}

// long is n memories whose text has the given number of characters: that of all seeds, again and
// again, from a different place in each.
func long(n, size int) dataset {
	name := fmt.Sprintf("%s memories of %d MB", grouped(n), size/1_000_000)
	return dataset{name, n, func(ctx context.Context, tx *sqlx.Tx, d dataset) error {
		_, err := tx.ExecContext(ctx, `
			WITH texts AS MATERIALIZED (SELECT string_agg(memory, ' ' ORDER BY created_at, id) AS all_of_them
				FROM memories WHERE workspace_id = $3),
			base AS MATERIALIZED (SELECT length(all_of_them) AS period,
				repeat(all_of_them, $4::int / length(all_of_them) + 2) AS text FROM texts)
			INSERT INTO memories (id, memory, user_id, priority, status, categories, metadata, workspace_id, created_at, updated_at)
			SELECT gen_random_uuid(), substr(text, 1 + i * 7919 % period, $4::int), 'user-001', 'HIGH', 'COMPLETED', '{work}',
				'{"source": "import"}', $1::uuid, timestamptz '2025-01-01 00:00:00Z' + i * interval '1 minute', timestamptz '2025-07-01 00:00:00Z'
			FROM base, generate_series(1, $2::int) i`, d.workspace(), n, seed.workspace(), size)
		return err
	}}
}

// datasets are all that the chosen sections need.
func (o *options) datasets() []dataset {
	needed := []dataset{tiny}
	for _, section := range o.sections {
		switch section {
		case "speed", "sizes":
			for _, n := range o.rows {
				needed = append(needed, distinct(n))
			}
		case "small", "reads":
			needed = append(needed, o.largest())
		case "workers":
			needed = append(needed, distinct(o.batchMemories))
		case "compression":
			needed = append(needed, distinct(o.atMostAMillion()))
		}
		if section == "sizes" {
			needed = append(needed, sameInstant(o.largest().memories), long(o.texts, o.textSize), long(o.giants, o.giantSize))
		}
	}
	return needed
}

// prepareData makes the data sets that are missing.
func (s *stack) prepareData(ctx context.Context) error {
	if err := demo.CreateTable(ctx, s.db); err != nil {
		return err
	}
	if _, err := demo.Fill(ctx, s.db, seed.workspace(), seed.memories); err != nil {
		return err
	}
	changed := false
	for _, d := range s.datasets() {
		made, err := s.prepare(ctx, d)
		if err != nil {
			return fmt.Errorf("make %s: %w", d.name, err)
		}
		changed = changed || made
	}
	if changed {
		say("vacuum, analyze and checkpoint")
		if _, err := s.db.ExecContext(ctx, `VACUUM (ANALYZE) memories`); err != nil {
			return err
		}
	}
	_, err := s.db.ExecContext(ctx, `CHECKPOINT`)
	return err
}

// prepare makes a data set unless it is there. It does so in one transaction: a run that was killed
// leaves nothing that looks complete.
func (s *stack) prepare(ctx context.Context, d dataset) (made bool, err error) {
	var found int
	err = s.db.GetContext(ctx, &found, `SELECT count(*) FROM memories WHERE workspace_id = $1`, d.workspace())
	if err != nil || found == d.memories {
		return false, err
	}
	say("making %s", d.name)
	tx, err := s.db.BeginTxx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit it does nothing
	if _, err := tx.ExecContext(ctx, `DELETE FROM memories WHERE workspace_id = $1`, d.workspace()); err != nil {
		return false, err
	}
	if err := d.insert(ctx, tx, d); err != nil {
		return false, err
	}
	return true, tx.Commit()
}
