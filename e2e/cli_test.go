package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"memexport/internal/workshop/parse"
)

// person is a user of the client commands, with a working directory and environment variables.
type person struct {
	dir string
	env []string
}

func newPerson(t *testing.T, url, key string) *person {
	return &person{dir: t.TempDir(), env: []string{"MEMEXPORT_URL=" + url, "MEMEXPORT_API_KEY=" + key}}
}

// start starts a command. If it still runs at the end of the test, it is killed.
func (p *person) start(t *testing.T, args ...string) *command {
	t.Helper()
	child, err := startIn(p.dir, p.env, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(child.Kill)
	return child
}

// run runs a command and fails the test unless its exit code is want. It also fails the test if the
// command printed the API key.
func (p *person) run(t *testing.T, want int, args ...string) (stdout, stderr string) {
	t.Helper()
	child := p.start(t, args...)
	child.wantCode(t, want)
	for _, env := range p.env {
		if key, found := strings.CutPrefix(env, "MEMEXPORT_API_KEY="); found && key != "" && strings.Contains(child.Output(), key) {
			t.Errorf("memexport %s prints the key:\n%s", strings.Join(args, " "), child.Output())
		}
	}
	return child.stdout.String(), child.stderr.String()
}

func (p *person) path(name string) string { return filepath.Join(p.dir, name) }

// files returns the sorted names of all files in the directory, separated by spaces.
func (p *person) files(t *testing.T) string {
	t.Helper()
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func (p *person) read(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(p.path(name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func decode[T any](t *testing.T, text string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	return v
}

func hexDigest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

func TestTheClientCommandExportsWithEveryFilter(t *testing.T) {
	s := sharedStack(t)
	c := s.newTenant(t)
	generate(t, s.db, c.workspace, 1000, 100)
	p := newPerson(t, s.url, c.key)
	for _, one := range []struct {
		args      string
		condition string
	}{
		{"--format csv", "true"},
		{"--format markdown --user-id user-3", "user_id = 'user-3'"},
		{"--agent-id agent-4 --session-id session-5", "agent_id = 'agent-4' AND session_id = 'session-5'"},
		{"--priority HIGH --category c1,c2 --category c3", "priority = 'HIGH' AND categories && ARRAY['c1', 'c2', 'c3']"},
		{"--format csv --since 2025-01-01T01:30:00+01:00 --until 2025-01-02", "created_at >= '2025-01-01T00:30:00Z' AND created_at < '2025-01-02T00:00:00Z'"},
	} {
		stdout, _ := p.run(t, 0, append(strings.Fields(one.args), "export", "--json", "-o", "out", "--force")...)
		saved := decode[struct {
			Export object
			File   string
		}](t, stdout)
		content := p.read(t, saved.File)
		same(t, "sha256", hexDigest(content), *saved.Export.SHA256)
		got, err := parse.Formats[saved.Export.Format](content)
		if err != nil {
			t.Fatal(err)
		}
		want := table(t, s.db, c.workspace, one.condition)
		compare(t, one.args, got, want)
		if len(want) == 0 || len(want) == 1000 && one.condition != "true" {
			t.Errorf("%s selects %d memories, so this tests nothing", one.args, len(want))
		}
		same(t, "files", p.files(t), "out")
	}
}

func TestTheClientCommandsListShowAndDeleteExports(t *testing.T) {
	s := sharedStack(t)
	c := s.newTenant(t)
	p := newPerson(t, s.url, c.key)
	first := c.ready(t, c.create(t, "format=csv&user_id=u&categories=a,b").ID, time.Minute)
	second := c.ready(t, c.create(t, "format=markdown").ID, time.Minute)

	table, _ := p.run(t, 0, "list")
	lines := strings.Split(strings.TrimSpace(table), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[1], second.ID) || !strings.HasPrefix(lines[2], first.ID) ||
		!strings.Contains(lines[2], `user_id="u" categories=["a","b"]`) {
		t.Errorf("the list:\n%s", table)
	}
	for args, want := range map[string][]string{
		"list --json":                  {second.ID, first.ID},
		"list --json --limit 1":        {second.ID},
		"list --json --format csv":     {first.ID},
		"list --json --status EXPIRED": {},
	} {
		stdout, stderr := p.run(t, 0, strings.Fields(args)...)
		list := decode[[]object](t, stdout)
		same(t, args+": exports", len(list), len(want))
		for i := range min(len(list), len(want)) {
			same(t, args, list[i].ID, want[i])
		}
		same(t, "standard error of "+args, stderr, "")
	}
	shown, _ := p.run(t, 0, "get", first.ID)
	for _, part := range []string{first.ID, "READY", "csv", *first.SHA256, `"u"`} {
		if !strings.Contains(shown, part) {
			t.Errorf("get does not show %s:\n%s", part, shown)
		}
	}
	stdout, _ := p.run(t, 0, "get", first.ID, "--json")
	same(t, "the sha256 in JSON", *decode[object](t, stdout).SHA256, *first.SHA256)

	p.run(t, 0, "download", first.ID, "-q")
	name := "memories-" + first.CompletedAt.UTC().Format("20060102") + "-" + first.ID + ".csv"
	same(t, "files", p.files(t), name)
	same(t, "the digest of the file with the name that the server suggests", hexDigest(p.read(t, name)), *first.SHA256)
	piped, _ := p.run(t, 0, "download", first.ID, "-o", "-")
	same(t, "the digest of standard output", hexDigest([]byte(piped)), *first.SHA256)
	same(t, "files", p.files(t), name)

	deleted, _ := p.run(t, 0, "delete", first.ID)
	if !strings.Contains(deleted, first.ID) {
		t.Errorf("delete says %q", deleted)
	}
	stdout, _ = p.run(t, 0, "delete", second.ID, "--json")
	same(t, "deleted", decode[map[string]any](t, stdout)["deleted"], any(true))
	same(t, "exports", c.list(t, "").Meta.Total, 0)
}

func TestTheShellCompletesValues(t *testing.T) {
	p := newPerson(t, "http://127.0.0.1:1", "msk_live_x")
	for args, want := range map[string]string{
		"export --format ":   "json csv markdown ndjson parquet",
		"export --priority ": "LOW MEDIUM HIGH",
		"list --status ":     "PENDING PROCESSING READY FAILED EXPIRED",
	} {
		stdout, _ := p.run(t, 0, append([]string{"__complete"}, strings.Split(args, " ")...)...)
		values, _, _ := strings.Cut(stdout, ":")
		same(t, args, strings.Join(strings.Fields(values), " "), want)
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if script, _ := p.run(t, 0, "completion", shell); !strings.Contains(script, "memexport") {
			t.Errorf("the completion for %s is %q", shell, short(script))
		}
	}
	for _, command := range []string{"export", "list", "get", "download", "delete"} {
		if help, _ := p.run(t, 0, command, "--help"); !strings.Contains(help, "Examples:\n") {
			t.Errorf("the help of %s has no example:\n%s", command, help)
		}
	}
}
