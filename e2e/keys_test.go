package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// keyColumns splits a line of `memexport keys list` into its columns, which are separated by two or more
// spaces.
func keyColumns(line string) (columns []string) {
	for column := range strings.SplitSeq(line, "  ") {
		if column = strings.TrimSpace(column); column != "" {
			columns = append(columns, column)
		}
	}
	return columns
}

// listKeys returns the ids and the states of a workspace's keys, in the order of `memexport keys list`.
func listKeys(t *testing.T, s *stack, workspace string) (ids, states []string) {
	t.Helper()
	list := mustRun(t, []string{"DATABASE_URL=" + s.database}, "keys", "list", "--workspace", workspace)
	lines := strings.Split(strings.TrimSpace(list), "\n")
	same(t, "header of keys list", strings.Join(keyColumns(lines[0]), ","), "ID,KEY,NAME,WORKSPACE,PERMISSIONS,STATE,CREATED,EXPIRES,LAST USED,REVOKED")
	for _, line := range lines[1:] {
		columns := keyColumns(line)
		if len(columns) != 10 {
			t.Fatalf("a line of keys list has %d columns: %q", len(columns), line)
		}
		ids, states = append(ids, columns[0]), append(states, columns[5])
	}
	return ids, states
}

func TestAKeyIsRotatedWithoutAnInterruption(t *testing.T) {
	s := sharedStack(t)
	env, workspace := []string{"DATABASE_URL=" + s.database}, uuid.NewString()
	before := newClient(s.url, createKey(t, s.database, workspace, "export.read"))
	before.do(t, "GET", "/v1/exports").want(t, 200)
	ids, _ := listKeys(t, s, workspace)

	output := mustRun(t, env, "keys", "rotate", ids[0], "--overlap", "1d")
	after := newClient(s.url, strings.TrimSpace(output))
	if strings.Count(output, "\n") != 1 || after.key == before.key {
		t.Fatalf("keys rotate does not print a new key alone on a line: %q", output)
	}
	before.do(t, "GET", "/v1/exports").want(t, 200)
	after.do(t, "GET", "/v1/exports").want(t, 200)
	after.do(t, "POST", "/v1/exports").problem(t, 403, "PERMISSION_DENIED") // the permissions are the same
	ids, states := listKeys(t, s, workspace)
	same(t, "states", strings.Join(states, ","), "replaced,valid")
	refuses(t, env, []string{"keys", "rotate", ids[0]}, "replaced already", ids[1])

	// Move the expiry back by a day, as if a day had passed.
	execute(t, s.db, `UPDATE memexport.api_keys SET expires_at = expires_at - interval '1 day' WHERE id = $1`, ids[0])
	before.do(t, "GET", "/v1/exports").problem(t, 401, "UNAUTHORIZED")
	after.do(t, "GET", "/v1/exports").want(t, 200)
	mustRun(t, env, "keys", "rotate", ids[1], "--overlap", "0s")
	after.do(t, "GET", "/v1/exports").problem(t, 401, "UNAUTHORIZED")
	_, states = listKeys(t, s, workspace)
	same(t, "states", strings.Join(states, ","), "expired,expired,valid")
	refuses(t, env, []string{"keys", "rotate", ids[0]}, "replaced already")
	refuses(t, env, []string{"keys", "rotate", uuid.NewString()}, "is not valid", "keys list")
}

func TestAKeyExpires(t *testing.T) {
	s := sharedStack(t)
	env, workspace := []string{"DATABASE_URL=" + s.database}, uuid.NewString()
	create := []string{"keys", "create", "--workspace", workspace, "--name", "n", "--permission", "export.read", "--expires"}
	for expires, want := range map[string]time.Time{"90d": time.Now().AddDate(0, 0, 90), "12h": time.Now().Add(12 * time.Hour),
		"2100-01-31T00:00:00+02:00": time.Date(2100, 1, 30, 22, 0, 0, 0, time.UTC)} {
		key := strings.TrimSpace(mustRun(t, env, append(create, expires)...))
		newClient(s.url, key).do(t, "GET", "/v1/exports").want(t, 200)
		var at time.Time
		if err := s.db.QueryRow(`SELECT expires_at FROM memexport.api_keys WHERE workspace_id = $1 ORDER BY created_at DESC LIMIT 1`, workspace).Scan(&at); err != nil {
			t.Fatal(err)
		}
		// The fixed time must be exact. The others may differ by 25 hours, the longest day that AddDate adds.
		if off := at.Sub(want); off < -25*time.Hour || off > 25*time.Hour || expires[0] == '2' && off != 0 {
			t.Errorf("--expires %s: %s, want %s", expires, at, want)
		}
		execute(t, s.db, `UPDATE memexport.api_keys SET expires_at = now() WHERE workspace_id = $1`, workspace)
		newClient(s.url, key).do(t, "GET", "/v1/exports").problem(t, 401, "UNAUTHORIZED")
	}
	_, states := listKeys(t, s, workspace)
	same(t, "states", strings.Join(states, ","), "expired,expired,expired")

	for _, args := range [][]string{append(create, "90"), append(create, "-1h"), append(create, "d"), append(create, "1.5d"), append(create, "2020-01-01T00:00:00Z"),
		{"keys", "rotate", uuid.NewString(), "--overlap", "-1h"}, {"keys", "rotate", uuid.NewString(), "--overlap", "soon"}, {"keys", "rotate", uuid.NewString(), "--expires", "x"}} {
		if code, stdout, stderr := finish(t, env, args...); code != 2 || stdout != "" || !strings.Contains(stderr, "such as") && !strings.Contains(stderr, "future") {
			t.Errorf("memexport %q ended with %d: %s%s", args, code, stdout, stderr)
		}
	}
}

func TestAKeysNameCannotForgeLines(t *testing.T) {
	s := sharedStack(t)
	env, workspace := []string{"DATABASE_URL=" + s.database}, uuid.NewString()
	for _, name := range []string{"a\nb", "a\rb", "a\x1b[2Ab", "a\u202eb", "a\tb", " ", strings.Repeat("n", 101)} {
		refuses(t, env, []string{"keys", "create", "--workspace", workspace, "--name", name, "--permission", "export.read"}, "the name")
	}
	// Earlier versions accepted any name, so the table may contain a name like this.
	forged := "x\n" + uuid.NewString() + "  msk_live_AAAAAA…  admin  " + workspace + "\r\x1b[1A\t\u202e\v\f\xc2\x9b"
	execute(t, s.db, `INSERT INTO memexport.api_keys (id, workspace_id, name, display, hash, permissions) VALUES ($1, $2, $3, 'msk_live_AAAAAA', 'h'::bytea || $4::text::bytea, '{export.read}')`,
		uuid.NewString(), workspace, forged, workspace)
	list := mustRun(t, env, "keys", "list", "--workspace", workspace)
	if strings.Count(list, "\n") != 2 || strings.ContainsAny(list, "\r\x1b\t\v\f\u202e\u009b") || !strings.Contains(list, `"x\n`) {
		t.Errorf("the list is %q", list)
	}
	if line := strings.Split(list, "\n")[1]; strings.Count(line, `"`) != 2 {
		t.Errorf("the name does not stand in quotes: %q", line)
	}
}
