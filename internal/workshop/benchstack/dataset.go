package benchstack

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"memexport/internal/service/memory"
	"memexport/internal/workshop/demo"
)

// Dataset is a workspace with known content.
type Dataset struct {
	Name     string
	Memories int

	table  table
	insert func(ctx context.Context, tx *sqlx.Tx, o insertOptions) error

	// If user is not empty, exports and psql select only the memories of this user.
	user         string
	userMemories int
}

// Exported returns the number of memories in an export of the data set, which is also the number in psql's file.
func (d Dataset) Exported() int {
	if d.user != "" {
		return d.userMemories
	}
	return d.Memories
}

// insertOptions are the parameters of Dataset.insert.
type insertOptions struct {
	workspace string
	log       func(format string, args ...any)
}

// seedMemories is how many memories the demo generates. All other memories are copies of these with
// a different id and created_at.
const seedMemories = 10_000

var seed = Dataset{Name: "seed", Memories: seedMemories}

// Tiny is a data set so small that exporting it takes hardly longer than exporting nothing.
var Tiny = Distinct(100)

// Workspace returns the id of the workspace. It depends only on the name, so that later runs find the
// data set again.
func (d Dataset) Workspace() string {
	return uuid.NewSHA1(uuid.NameSpaceOID, []byte("memexport benchmark "+d.Name)).String()
}

// Distinct returns a data set of n memories. As in the demo, at most two memories share a created_at.
func Distinct(n int) Dataset {
	// The seed spans a little more than six days, so copies that are seven days apart do not
	// overlap.
	return copies(humanize.Comma(int64(n))+" memories", n, `created_at + $2::int * interval '7 days'`)
}

// SameInstant returns a data set of n memories that share one created_at, as after a bulk import.
func SameInstant(n int) Dataset {
	return copies(humanize.Comma(int64(n))+" memories of one instant", n, `timestamptz '2025-06-01 12:00:00Z' + 0 * $2::int * interval '1 day'`)
}

// copies returns a data set of n memories, which are copies of the seed's memories. createdAt is
// the SQL for created_at, in which $2 is the number of the copy.
func copies(name string, n int, createdAt string) Dataset {
	return Dataset{Name: name, Memories: n, insert: func(ctx context.Context, tx *sqlx.Tx, o insertOptions) error {
		statement := `INSERT INTO memories (` + strings.Join(memory.Columns, ", ") + `)
			SELECT gen_random_uuid(), memory, user_id, agent_id, session_id, priority, status, categories, metadata, $1::uuid,
				access_count, last_accessed_at + $2::int * interval '7 days', ` + createdAt + `, updated_at + $2::int * interval '7 days'
			FROM memories WHERE workspace_id = $3 ORDER BY created_at, id LIMIT $4`
		told := time.Now()
		for done := 0; done < n; done += seedMemories {
			_, err := tx.ExecContext(ctx, statement, o.workspace, done/seedMemories, seed.Workspace(), min(seedMemories, n-done))
			if err != nil {
				return err
			}
			if time.Since(told) > 10*time.Second {
				told = time.Now()
				o.log("  %s of %s", humanize.Comma(int64(done+seedMemories)), humanize.Comma(int64(n)))
			}
		}
		return nil
	}}
}

// Long returns a data set of n memories whose texts have size characters each. Every text repeats
// the seed's texts and begins at a different place in them.
func Long(n, size int) Dataset {
	name := fmt.Sprintf("%s memories of %d MB", humanize.Comma(int64(n)), size/1_000_000)
	return Dataset{Name: name, Memories: n, insert: func(ctx context.Context, tx *sqlx.Tx, o insertOptions) error {
		_, err := tx.ExecContext(ctx, `
			WITH texts AS MATERIALIZED (SELECT string_agg(memory, ' ' ORDER BY created_at, id) AS all_of_them
				FROM memories WHERE workspace_id = $3),
			base AS MATERIALIZED (SELECT length(all_of_them) AS period,
				repeat(all_of_them, $4::int / length(all_of_them) + 2) AS text FROM texts)
			INSERT INTO memories (id, memory, user_id, priority, status, categories, metadata, workspace_id, created_at, updated_at)
			SELECT gen_random_uuid(), substr(text, 1 + i * 7919 % period, $4::int), 'user-001', 'HIGH', 'COMPLETED', '{work}',
				'{"source": "import"}', $1::uuid, timestamptz '2025-01-01 00:00:00Z' + i * interval '1 minute', timestamptz '2025-07-01 00:00:00Z'
			FROM base, generate_series(1, $2::int) i`, o.workspace, n, seed.Workspace(), size)
		return err
	}}
}

// prepareData creates the data sets that are missing.
func (s *Stack) prepareData(ctx context.Context) error {
	if err := demo.CreateTable(ctx, s.DB); err != nil {
		return err
	}
	for _, d := range s.options.Datasets {
		if err := d.table.create(ctx, s.DB); err != nil {
			return err
		}
	}
	if _, err := demo.Fill(ctx, s.DB, seed.Workspace(), seed.Memories); err != nil {
		return err
	}
	changed := map[string]bool{}
	for _, d := range append([]Dataset{Tiny}, s.options.Datasets...) {
		made, err := s.prepare(ctx, d)
		if err != nil {
			return fmt.Errorf("make %s: %w", d.Name, err)
		}
		if made {
			changed[d.table.name()] = true
		}
	}
	for table := range changed {
		s.options.Log("vacuum and analyze %s", table)
		if _, err := s.DB.ExecContext(ctx, `VACUUM (ANALYZE) `+table); err != nil {
			return err
		}
	}
	_, err := s.DB.ExecContext(ctx, `CHECKPOINT`)
	return err
}

// prepare creates a data set unless it exists. It uses one transaction, so that a killed run does
// not leave an incomplete data set.
func (s *Stack) prepare(ctx context.Context, d Dataset) (made bool, err error) {
	var found int
	err = s.DB.GetContext(ctx, &found, `SELECT count(*) FROM `+d.table.name()+` WHERE workspace_id = $1`, d.Workspace())
	if err != nil || found == d.Memories {
		return false, err
	}
	s.options.Log("making %s", d.Name)
	tx, err := s.DB.BeginTxx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit it does nothing
	if _, err := tx.ExecContext(ctx, `DELETE FROM `+d.table.name()+` WHERE workspace_id = $1`, d.Workspace()); err != nil {
		return false, err
	}
	if err := d.insert(ctx, tx, insertOptions{workspace: d.Workspace(), log: s.options.Log}); err != nil {
		return false, err
	}
	return true, tx.Commit()
}
