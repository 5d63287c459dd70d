package memory

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"
)

// sizes are text lengths in bytes, just below, at and above every limit.
var sizes = []int{maxText - 1, maxText, maxText + 1, pieceSize - 1, pieceSize, pieceSize + 1, 2 * pieceSize, 2*pieceSize + 1}

func TestTextsAroundEveryLimitAreReadWhole(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	for _, size := range sizes {
		exec(t, db, `INSERT INTO memories (memory, user_id, categories, metadata) VALUES (repeat('0123456789abcdef', $1 / 16) || repeat('x', $1 % 16), 'user', '{"a b"}', '{"size": 1}')`, size)
	}
	same(t, read(t, s, Query{WorkspaceID: tenant}, everything, nil), stored(t, db, "memories", mine))
	err := s.Read(t.Context(), Query{WorkspaceID: tenant}, everything, nil, func(m *Memory) error {
		rest := m.Rest != nil
		if rest && (len(m.Text) != pieceSize || m.Size <= pieceSize) || !rest && m.Size != 0 {
			t.Errorf("Size is %d, the first piece has %d bytes, and Rest is set: %t", m.Size, len(m.Text), rest)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestPiecesOfMultibyteTextsJoinToTheText(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	// The ten bytes that the text repeats contain characters of one to four bytes. start shifts the
	// text, so that pieces end at different places in the characters.
	for _, start := range []string{"", "x", "xä"} {
		exec(t, db, `INSERT INTO memories (memory) VALUES ($1 || repeat('a€😀ß', 2000000))`, start)
	}
	var want []string
	if err := db.Select(&want, `SELECT octet_length(memory) || ' ' || md5(convert_to(memory, 'UTF8')) FROM memories ORDER BY created_at, id`); err != nil {
		t.Fatal(err)
	}
	i := 0
	err := s.Read(t.Context(), Query{WorkspaceID: tenant}, everything, nil, func(m *Memory) error {
		sum, size, largest := md5.New(), 0, 0
		for piece, err := m.Text, error(nil); piece != nil; piece, err = m.Rest() {
			if err != nil {
				return err
			}
			sum.Write(piece)
			size += len(piece)
			largest = max(largest, len(piece))
		}
		if got := fmt.Sprintf("%d %x", size, sum.Sum(nil)); got != want[i] {
			t.Errorf("memory %d is %s, want %s", i, got, want[i])
		}
		if largest > pieceSize {
			t.Errorf("a piece has %d bytes", largest)
		}
		if again, err := m.Rest(); again != nil || err != nil {
			t.Errorf("after the last piece: %d bytes, %v", len(again), err)
		}
		i++
		return nil
	})
	if err != nil || i != len(want) {
		t.Fatalf("read %d of %d: %v", i, len(want), err)
	}
}

// addMixed adds twelve memories. Some are oversize, because of their text, their metadata or both:
// the first, the last, several in a row and single ones.
func addMixed(t *testing.T, db *sqlx.DB) {
	t.Helper()
	exec(t, db, `
		CREATE FUNCTION noise(n int) RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT string_agg(md5(random()::text || i), '') FROM generate_series(1, n / 32) i $$;
		INSERT INTO memories (memory, user_id, metadata, categories, last_accessed_at, created_at)
		SELECT CASE WHEN i IN (1, 2, 3, 8, 12) THEN noise(1100000) WHEN i = 5 THEN NULL ELSE 'small ' || i END,
			CASE WHEN i % 2 = 0 THEN 'user' END,
			CASE WHEN i IN (3, 4, 5, 9, 10, 12) THEN jsonb_build_object('noise', noise(1100000), 'i', i) WHEN i % 3 = 0 THEN to_jsonb(i) END,
			CASE WHEN i % 4 > 0 THEN ARRAY['c' || i] END, CASE WHEN i % 2 = 1 THEN now() END, now() + (i / 2) * interval '1 second'
		FROM generate_series(1, 12) i`)
}

func TestOversizeMemoriesAreReadInOrder(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	addMixed(t, db)
	all, want := keys(t, db, tenant), stored(t, db, "memories", mine)
	for rows := 1; rows <= 13; rows += 3 {
		s := s.with(t, SourceOptions{PageRows: rows})
		same(t, read(t, s, Query{WorkspaceID: tenant}, everything, nil), want)
	}
	for i := range all {
		same(t, read(t, s, Query{WorkspaceID: tenant}, everything, &all[i]), want[i+1:])
	}
	user := "user"
	same(t, read(t, s, Query{WorkspaceID: tenant, Filter: Filter{UserID: &user}}, everything, nil), stored(t, db, "memories", mine+" AND user_id = 'user'"))
}

func TestReadingPiecesDoesNotOverwriteTheMemory(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	exec(t, db, `INSERT INTO memories (memory, user_id, agent_id, session_id, priority, status, categories, metadata)
		VALUES (repeat('x', 9000000), 'user', 'agent', 'session', 'LOW', 'FAILED', '{c}', '{"a": 1}')`)
	err := s.Read(t.Context(), Query{WorkspaceID: tenant}, everything, nil, func(m *Memory) error {
		first := bytes.Clone(m.Text)
		before := line(m, nil)
		for {
			piece, err := m.Rest()
			if err != nil {
				return err
			}
			if piece == nil {
				break
			}
			clear(piece[:copy(piece, "overwritten")])
		}
		if after := line(m, nil); after != before {
			t.Errorf("before\n%s\nafter\n%s", before, after)
		}
		if !bytes.Equal(first, m.Text) {
			t.Error("the first piece was overwritten")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestVisitNeedNotReadThePieces(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	exec(t, db, `INSERT INTO memories (memory) SELECT repeat('x', 9000000) FROM generate_series(1, 3)`)
	visited := 0
	err := s.Read(t.Context(), Query{WorkspaceID: tenant}, everything, nil, func(*Memory) error { visited++; return nil })
	if err != nil || visited != 3 {
		t.Errorf("visited %d of 3: %v", visited, err)
	}
	same(t, read(t, s, Query{WorkspaceID: tenant}, everything, nil), stored(t, db, "memories", mine))
}

// meanwhile calls Read and returns the texts that it visits. While the first memory is visited,
// meanwhile runs a statement on another connection.
func meanwhile(t *testing.T, s *Source, db *sqlx.DB, q Query, statement string) (texts []string) {
	t.Helper()
	err := s.Read(t.Context(), q, everything, nil, func(m *Memory) error {
		if texts == nil {
			exec(t, db, statement)
		}
		texts = append(texts, show(m.Text))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

func TestAnOversizeMemoryIsReadAsItIsAfterItsPage(t *testing.T) {
	for name, c := range map[string]struct {
		statement string
		want      []string
	}{
		"deleted":               {`DELETE FROM memories WHERE user_id = 'big'`, []string{`"first"`, `"last"`}},
		"shortened":             {`UPDATE memories SET memory = 'short' WHERE user_id = 'big'`, []string{`"first"`, `"short"`, `"last"`}},
		"no longer matching":    {`UPDATE memories SET agent_id = 'other' WHERE user_id = 'big'`, []string{`"first"`, `"last"`}},
		"moved to a workspace":  {`UPDATE memories SET workspace_id = '` + stranger + `' WHERE user_id = 'big'`, []string{`"first"`, `"last"`}},
		"a small one unchanged": {`DELETE FROM memories WHERE user_id = 'small'`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s, db := open(t)
			exec(t, db, `INSERT INTO memories (memory, user_id, agent_id, created_at) VALUES ('first', 'small', 'agent', '2026-01-01'),
				(repeat('x', 1100000), 'big', 'agent', '2026-01-02'), ('last', 'small', 'agent', '2026-01-03')`)
			want := c.want
			if want == nil { // small memories are read with their page's snapshot, so nothing changes
				want = []string{`"first"`, fmt.Sprintf("1100000 bytes %x", md5.Sum(bytes.Repeat([]byte("x"), 1100000))), `"last"`}
			}
			agent := "agent"
			same(t, meanwhile(t, s, db, Query{WorkspaceID: tenant, Filter: Filter{AgentID: &agent}}, c.statement), want)
		})
	}
}

// A memory whose text is NULL is read with its page's snapshot, unless its metadata is oversize. A query of its own
// would be about 70 times slower.
func TestNULLIsReadWithItsPage(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	addMixed(t, db)
	exec(t, db, `UPDATE memories SET memory = NULL; INSERT INTO memories (memory, created_at) VALUES ('first', '2000-01-01')`)
	want := []string{`"first"`}
	var oversize []bool
	if err := db.Select(&oversize, `SELECT coalesce(octet_length(metadata::text), 0) > $1 FROM memories WHERE memory IS NULL ORDER BY created_at, id`, maxMetadata); err != nil {
		t.Fatal(err)
	}
	for _, large := range oversize {
		want = append(want, map[bool]string{false: "NULL", true: `"changed"`}[large])
	}
	same(t, meanwhile(t, s, db, Query{WorkspaceID: tenant}, `UPDATE memories SET memory = 'changed' WHERE memory IS NULL`), want)
}

func TestATextThatEqualsTheOversizeMarkIsReadAsItIs(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	exec(t, db, `INSERT INTO memories (memory, metadata, created_at) SELECT text, '{"a": 1}', '2026-01-01'::timestamptz + i * interval '1 second'
		FROM unnest(ARRAY[$1, NULL, $1 || ' ', '', $1]) WITH ORDINALITY texts(text, i)`, oversizeMark)
	same(t, read(t, s, Query{WorkspaceID: tenant}, everything, nil), stored(t, db, "memories", mine))
}

func TestMetadataAroundEveryLimitIsReadWhole(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	for _, size := range []int{maxMetadata - 1, maxMetadata, maxMetadata + 1, metadataLimit - 1, metadataLimit} {
		for _, character := range []string{"x", "😀"} { // of one and four bytes
			n := size - len(`""`)
			exec(t, db, `INSERT INTO memories (memory, metadata) VALUES ('m', to_jsonb(repeat($1, $2) || repeat('x', $3)))`, character, n/len(character), n%len(character))
		}
	}
	same(t, read(t, s, Query{WorkspaceID: tenant}, everything, nil), stored(t, db, "memories", mine))
}

// A number of a few bytes may have 131,072 digits, and Postgres compresses an array of such numbers. So metadata that
// takes 200 bytes in the table can have 78 MB when it is read.
func TestMetadataWithHugeNumbersIsReadUpToTheLimit(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	exec(t, db, `INSERT INTO memories (memory, metadata) SELECT 'm', jsonb_agg('1e131071'::jsonb) FROM generate_series(1, 20)`)
	same(t, read(t, s, Query{WorkspaceID: tenant}, everything, nil), stored(t, db, "memories", mine))
	exec(t, db, `UPDATE memories SET metadata = (SELECT jsonb_agg('1e131071'::jsonb) FROM generate_series(1, 600))`)
	wantTooLarge(t, s, keys(t, db, tenant)[0], 0)
}

// wantTooLarge checks that Read fails at the memory with the given key, that the error names it without its content, and
// how many memories are visited before it.
func wantTooLarge(t *testing.T, s *Source, key Key, before int) {
	t.Helper()
	visited := 0
	err := s.Read(t.Context(), Query{WorkspaceID: tenant}, everything, nil, func(*Memory) error { visited++; return nil })
	if !errors.Is(err, ErrUnreadable) || !strings.Contains(err.Error(), key.ID) || len(err.Error()) > 250 {
		t.Errorf("the error is %v, want one that names %s", err, key.ID)
	}
	if visited != before {
		t.Errorf("visited %d memories, want %d", visited, before)
	}
}

func TestMetadataAboveTheLimitIsUnreadable(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	exec(t, db, `INSERT INTO memories (memory, metadata, created_at) SELECT 'm', '1', '2026-01-01'::timestamptz + i * interval '1 second' FROM generate_series(1, 5) i`)
	key := keys(t, db, tenant)[3]
	exec(t, db, `UPDATE memories SET metadata = to_jsonb(repeat('x', $1)) WHERE id = $2`, metadataLimit-1, key.ID) // two quotation marks are added
	wantTooLarge(t, s, key, 3)
	exec(t, db, `UPDATE memories SET memory = repeat('x', 9000000) WHERE id = $1`, key.ID)
	wantTooLarge(t, s, key, 3)
}

// wide has one assignment for each column that shortLimit limits. It gives the column $1 bytes of text.
var wide = []string{
	`user_id = repeat('x', $1)`, `agent_id = repeat('x', $1)`, `session_id = repeat('x', $1)`,
	`priority = repeat('x', $1)`, `status = repeat('x', $1)`, `categories = ARRAY[repeat('x', $1 - 2)]`,
}

func TestAColumnIsReadUpToItsLimit(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	exec(t, db, `INSERT INTO memories (memory, created_at) SELECT 'm', '2026-01-01'::timestamptz + i * interval '1 second' FROM generate_series(1, 5) i`)
	key := keys(t, db, tenant)[3]
	for _, set := range wide {
		exec(t, db, `UPDATE memories SET user_id = '😀', agent_id = NULL, session_id = NULL, priority = NULL, status = NULL, categories = NULL, memory = 'm'`)
		exec(t, db, `UPDATE memories SET `+set+` WHERE id = $2`, shortLimit, key.ID)
		same(t, read(t, s, Query{WorkspaceID: tenant}, everything, nil), stored(t, db, "memories", mine))
		// The first is read with its page, the second by a query of its own.
		for _, memory := range []string{"m", strings.Repeat("x", 2*pieceSize)} {
			exec(t, db, `UPDATE memories SET `+set+`, memory = $3 WHERE id = $2`, shortLimit+1, key.ID, memory)
			wantTooLarge(t, s, key, 3)
		}
	}
}

// 3,500,000 times NULL take some kilobytes in the table and 17 MB as text. Postgres sends only the part up to the limit.
func TestAHugeColumnIsNotSentWhole(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	for _, set := range []string{
		`categories = array_fill(NULL::text, ARRAY[3500000])`, `categories = array_fill('"'::text, ARRAY[3500000])`, `session_id = repeat('"', 17000000)`,
	} {
		exec(t, db, `DELETE FROM memories; INSERT INTO memories (memory) VALUES ('m'); UPDATE memories SET `+set)
		var sent int
		if err := db.Get(&sent, `SELECT octet_length(row_to_json(page)::text) FROM (SELECT `+selectList("memory", "metadata")+` FROM memories) page`); err != nil {
			t.Fatal(err)
		}
		if sent > 3*shortLimit { // JSON doubles each quotation mark and backslash
			t.Errorf("%s: Postgres sends %d bytes", set, sent)
		}
		wantTooLarge(t, s, keys(t, db, tenant)[0], 0)
	}
}

// Postgres fails with the SQLSTATE 54000 if metadata has more than 1 GB as text. The view fails in the same way.
func TestAMemoryThatPostgresCannotReturnIsNamed(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	exec(t, db, `INSERT INTO memories (memory, user_id, metadata, created_at) SELECT 'm', 'user', '1', '2026-01-01'::timestamptz + i * interval '1 second' FROM generate_series(1, 5) i;
		CREATE FUNCTION fail() RETURNS jsonb LANGUAGE plpgsql STABLE COST 1 AS $$ BEGIN RAISE 'quoted memory' USING ERRCODE = 'program_limit_exceeded'; END $$;
		CREATE VIEW too_large AS SELECT id, memory, user_id, agent_id, session_id, priority, status, categories,
			CASE WHEN user_id = 'large' THEN fail() ELSE metadata END AS metadata, workspace_id, access_count, last_accessed_at, created_at, updated_at FROM memories`)
	all := keys(t, db, tenant)
	for _, rows := range []int{1, 2, 100} {
		s := sourceWith(t, s.db, "too_large", SourceOptions{PageRows: rows})
		for i, key := range all {
			exec(t, db, `UPDATE memories SET user_id = CASE WHEN id = $1 THEN 'large' ELSE 'user' END`, key.ID)
			wantTooLarge(t, s, key, i)
		}
	}
	// Without the index, Postgres sorts. It must not convert the metadata of the last memory for the first page.
	exec(t, db, `DROP INDEX memories_workspace_id_created_at_id_idx`)
	p := pages{source: sourceWith(t, s.db, "too_large", SourceOptions{}), query: Query{WorkspaceID: tenant}, bounds: everything, limit: 2}
	if err := p.read(t.Context(), func(*Memory) error { return nil }); err != nil || *p.after != all[1] {
		t.Errorf("the first page ends at %v: %v", p.after, err)
	}
}

// A memory that Postgres cannot return may change before it is read by a query of its own.
func TestReadingGoesOnAfterAMemoryThatPostgresCanReturnNow(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	exec(t, db, `INSERT INTO memories (memory, metadata, created_at) SELECT 'memory ' || i, '1', '2026-01-01'::timestamptz + i * interval '1 second' FROM generate_series(1, 5) i;
		CREATE FUNCTION fail_in_page() RETURNS jsonb LANGUAGE plpgsql STABLE AS $$ BEGIN
			IF current_query() LIKE '% LIMIT 100' THEN RAISE 'quoted memory' USING ERRCODE = 'program_limit_exceeded'; END IF; RETURN '1'; END $$;
		CREATE VIEW once AS SELECT id, memory, user_id, agent_id, session_id, priority, status, categories,
			CASE WHEN memory = 'memory 3' THEN fail_in_page() ELSE metadata END AS metadata, workspace_id, access_count, last_accessed_at, created_at, updated_at FROM memories`)
	same(t, read(t, sourceWith(t, s.db, "once", SourceOptions{PageRows: 100}), Query{WorkspaceID: tenant}, everything, nil), stored(t, db, "memories", mine))
}

func TestRAMStaysBoundedForAHugeText(t *testing.T) {
	s, db := open(t)
	exec(t, db, `INSERT INTO memories (memory) VALUES (repeat('0123456789', 6000000))`)
	live := func() int64 {
		var stats runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&stats)
		return int64(stats.HeapAlloc)
	}
	before, most, size := live(), int64(0), 0
	err := s.Read(t.Context(), Query{WorkspaceID: tenant}, everything, nil, func(m *Memory) error {
		for piece, err := m.Text, error(nil); piece != nil; piece, err = m.Rest() {
			if err != nil {
				return err
			}
			size += len(piece)
			most = max(most, live()-before)
		}
		return nil
	})
	if err != nil || size != 60_000_000 {
		t.Fatalf("read %d bytes: %v", size, err)
	}
	if most > 5*pieceSize {
		t.Errorf("%d bytes are held while a text of %d is read", most, size)
	}
}

func TestCancellingBetweenPiecesIsAnError(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	exec(t, db, `INSERT INTO memories (memory) VALUES (repeat('0123456789', 6000000))`)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := s.Read(ctx, Query{WorkspaceID: tenant}, everything, nil, func(m *Memory) error {
		size := len(m.Text)
		for {
			cancel()
			piece, err := m.Rest()
			if err != nil {
				return err
			}
			if piece == nil {
				if size != 60_000_000 {
					t.Errorf("the text ended after %d bytes without an error", size)
				}
				return nil
			}
			size += len(piece)
		}
	})
	if err == nil {
		t.Error("a cancelled reading reported success")
	}
}
