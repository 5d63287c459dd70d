package benchstack

import (
	"context"
	"fmt"

	"github.com/dustin/go-humanize"
	"github.com/jmoiron/sqlx"
)

// table says which table holds a data set.
type table int

const (
	common         table = iota // the demo's table, which all data sets without a table of their own share
	smallAlone                  // has the columns and indexes of the demo's table
	smallUnindexed              // lacks the demo's index for the memories of one user
	wideAlone                   // has the columns and indexes of the demo's table
)

func (t table) name() string {
	return [...]string{"memories", "memories_small", "memories_small_no_user_index", "memories_wide"}[t]
}

// Environment returns the variables that Restart needs, so that exports read the table of the data set.
func (d Dataset) Environment() []string { return []string{"MEMORIES_TABLE=public." + d.table.name()} }

// create creates the table unless it exists. The common table must exist.
func (t table) create(ctx context.Context, db *sqlx.DB) error {
	with := "INCLUDING ALL"
	if t == smallUnindexed {
		with += " EXCLUDING INDEXES, PRIMARY KEY (id)"
	}
	_, err := db.ExecContext(ctx, fmt.Sprintf(`CREATE TABLE IF NOT EXISTS %s (LIKE memories %s)`, t.name(), with))
	if err == nil && t == smallUnindexed {
		_, err = db.ExecContext(ctx, fmt.Sprintf(`CREATE INDEX IF NOT EXISTS %[1]s_keyset ON %[1]s (workspace_id, created_at, id)`, t.name()))
	}
	return err
}

// smallUsers is the number of users in each data set of this file. Successive memories belong to different users.
const smallUsers = 100

// Small returns a data set of n small memories. They lie in the table in the order of the keyset index, and
// the table holds nothing else. Postgres then reads them along the index, which is the best that psql can do.
func Small(n int) Dataset { return small(n, smallAlone) }

func small(n int, t table) Dataset {
	return Dataset{Name: humanize.Comma(int64(n)) + " small memories", Memories: n, table: t,
		insert: func(ctx context.Context, tx *sqlx.Tx, o insertOptions) error {
			_, err := tx.ExecContext(ctx, `
				INSERT INTO `+t.name()+` (id, workspace_id, memory, user_id, agent_id, session_id, priority, status, categories, metadata,
					access_count, last_accessed_at, created_at, updated_at)
				SELECT gen_random_uuid(), $1::uuid, repeat(md5(i::text) || ' said "hi", naïve — ok ', 1 + (i::bigint * 7919 % 9)::int / 2),
					'user-' || i % $3::int, CASE WHEN i % 3 > 0 THEN 'agent-' || i % 7 END, 'session-' || i / 20,
					(ARRAY['LOW', 'MEDIUM', 'HIGH'])[1 + i % 3], 'COMPLETED', ARRAY['c' || i % 11, 'preference'],
					jsonb_build_object('source', 'chat', 'turn', i % 40, 'score', 0.5), i % 100, CASE WHEN i % 5 > 0 THEN now() END,
					timestamptz '2025-01-01 00:00:00Z' + i * interval '13.7 seconds', now()
				FROM generate_series(1, $2::int) i`, o.workspace, n, smallUsers)
			return err
		}}
}

// OneUser returns a data set with the same memories as Small(n). Exports and psql select only the memories of
// one user, which are 1% of them. If indexed is false, the table has no index on the user.
func OneUser(n int, indexed bool) Dataset {
	t := smallAlone
	if !indexed {
		t = smallUnindexed
	}
	d := small(n, t)
	d.user, d.userMemories = "user-1", (n-1)/smallUsers+1
	return d
}

// Wide returns a data set of n memories in a table of their own. Each memory has a text of 4 KB and metadata of
// 2 KB. Many characters of the text take two bytes. Postgres stores such values outside of the row.
func Wide(n int) Dataset {
	return Dataset{Name: humanize.Comma(int64(n)) + " wide memories", Memories: n, table: wideAlone,
		insert: func(ctx context.Context, tx *sqlx.Tx, o insertOptions) error {
			// Join 16 of the seed's texts into one, and cut it to 3200 characters, which are about 4000 bytes.
			_, err := tx.ExecContext(ctx, `
				WITH numbered AS (SELECT memory, row_number() OVER (ORDER BY created_at, id) / 16 AS number FROM memories WHERE workspace_id = $3),
				texts AS (SELECT number, left(repeat(translate(string_agg(memory, ' '), 'aeou', 'äéöü'), 5), 3200) AS text FROM numbered GROUP BY number),
				pieces AS MATERIALIZED (SELECT number, text, (SELECT jsonb_agg(substr(text, q * 150, 70)) FROM generate_series(1, 20) q) AS quotes FROM texts)
				INSERT INTO `+wideAlone.name()+` (id, workspace_id, memory, user_id, priority, status, categories, metadata, created_at, updated_at)
				SELECT gen_random_uuid(), $1::uuid, text, 'user-' || i % $4::int, 'HIGH', 'COMPLETED', '{work,travel}',
					jsonb_build_object('source', 'import', 'turn', i, 'quotes', quotes),
					timestamptz '2025-01-01 00:00:00Z' + i * interval '13.7 seconds', timestamptz '2025-07-01 00:00:00Z'
				FROM generate_series(1, $2::int) i JOIN pieces ON number = i % (SELECT count(*) FROM pieces)
				ORDER BY i`, o.workspace, n, seed.Workspace(), smallUsers)
			return err
		}}
}
