package e2e

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// says fails the test unless the text contains all of the parts. The parameter what names the text
// in the message, such as "standard error".
func says(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%s does not say %q:\n%s", what, part, text)
		}
	}
}

// unknownID is a valid id, but there is no export with this id.
const unknownID = "0198c2a4-6d0e-7c55-9f0a-3c1d5b7e9a24"

func TestWrongArgumentsEndWithExitCode2AndSendNothing(t *testing.T) {
	s := sharedStack(t)
	c := s.newTenant(t)
	p := newPerson(t, s.url, c.key)
	if err := os.WriteFile(p.path("mine"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, part := range map[string]string{
		"exprot":                     "exprot",
		"export --formt csv":         "--formt",
		"export --format xml":        "markdown",
		"export --priority high":     "HIGH",
		"export --user-id=":          "--user-id",
		"export --category a,,b":     "--category",
		"export --since yesterday":   "2026-01-31",
		"export --since 2026-02-30":  "--since",
		"export --url ftp://x":       "--url",
		"export --retry-for soon":    "--retry-for",
		"export --api-key-file none": "--api-key-file",
		"export --json -o -":         "--json",
		"export -o mine":             "--force",
		"export -o . --force":        "regular",
		"export surplus":             "surplus",
		"download":                   "download",
		"get nonsense":               "memexport list",
		"list --status DONE":         "EXPIRED",
		"export --since 2026-02-01 --until 2026-01-01 -o new": "created_after", // the API rejects this, with a message that names created_after
	} {
		_, stderr := p.run(t, 2, strings.Fields(args)...)
		says(t, args, stderr, part)
	}
	same(t, "files", p.files(t), "mine")
	same(t, "the file that was there", string(p.read(t, "mine")), "mine")
	same(t, "exports", c.list(t, "").Meta.Total, 0)
	for _, missing := range []string{"MEMEXPORT_URL", "MEMEXPORT_API_KEY"} {
		user := person{dir: p.dir, env: []string{"MEMEXPORT_URL=" + s.url, "MEMEXPORT_API_KEY=" + c.key, missing + "="}}
		_, stderr := user.run(t, 2, "list")
		says(t, "without "+missing, stderr, missing)
	}
	if err := os.WriteFile(p.path("key"), []byte(c.key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	withKeyFile := person{dir: p.dir, env: []string{"MEMEXPORT_URL=" + s.url}}
	withKeyFile.run(t, 0, "list", "--api-key-file", "key")
}

func TestAMissingPermissionEndsWithExitCode3(t *testing.T) {
	s := sharedStack(t)
	c := s.newTenant(t)
	e := c.create(t, "")
	for _, key := range []string{"msk_live_unknown", "nonsense"} {
		p := newPerson(t, s.url, key)
		for _, args := range [][]string{{"export", "-o", "out"}, {"list"}, {"get", e.ID}, {"download", e.ID}, {"delete", e.ID}} {
			_, stderr := p.run(t, 3, args...)
			says(t, args[0], stderr, "UNAUTHORIZED", "MEMEXPORT_API_KEY")
		}
		same(t, "files", p.files(t), "")
	}
	reader := newPerson(t, s.url, createKey(t, s.database, c.workspace, "export.read"))
	_, stderr := reader.run(t, 3, "export", "-o", "out")
	says(t, "an export with a key for reading only", stderr, "PERMISSION_DENIED", "export.write")
	reader.run(t, 3, "delete", e.ID)
	reader.run(t, 0, "get", e.ID)
	same(t, "files", reader.files(t), "")
	writer := newPerson(t, s.url, createKey(t, s.database, c.workspace, "export.write"))
	writer.run(t, 3, "export", "-o", "out") // the key permits creating the export, but not reading it
}

func TestAnUnknownExportEndsWithExitCode4(t *testing.T) {
	s := sharedStack(t)
	p := newPerson(t, s.url, s.newTenant(t).key)
	for _, command := range []string{"get", "download", "delete"} {
		_, stderr := p.run(t, 4, command, unknownID)
		says(t, command, stderr, "EXPORT_NOT_FOUND", "memexport list")
	}
	same(t, "files", p.files(t), "")
}

func TestAFailedExportEndsWithExitCode5AndTheNextRunMakesAnother(t *testing.T) {
	s := sharedStack(t)
	c := s.newTenant(t)
	generate(t, s.db, c.workspace, 10, 100)
	p := newPerson(t, s.url, c.key)
	execute(t, s.db, `ALTER TABLE memories ALTER COLUMN access_count DROP NOT NULL`)
	execute(t, s.db, `UPDATE memories SET access_count = NULL WHERE workspace_id = $1`, c.workspace)
	_, stderr := p.run(t, 5, "export", "-o", "out")
	execute(t, s.db, `UPDATE memories SET access_count = 0 WHERE workspace_id = $1`, c.workspace)
	says(t, "export", stderr, "SOURCE_INVALID")
	same(t, "files", p.files(t), "")
	failed := c.list(t, "").Data[0]
	_, stderr = p.run(t, 5, "download", failed.ID)
	says(t, "download", stderr, "SOURCE_INVALID", failed.ID)
	same(t, "files", p.files(t), "")
	p.run(t, 0, "export", "-o", "out")
	same(t, "files", p.files(t), "out")
	same(t, "exports", c.list(t, "").Meta.Total, 2)
}

func TestAnExpiredExportEndsWithExitCode6AndAnUnfinishedRunMakesAnother(t *testing.T) {
	s := sharedStack(t)
	c := s.newTenant(t)
	generate(t, s.db, c.workspace, 20_000, 200)
	front := newProxy(t, s.url)
	p := newPerson(t, front.url, c.key)
	held := front.hold(1 << 20)
	child := p.start(t, "export", "-o", "out")
	receive(t, held, "the download is held")
	child.Kill()
	front.release()
	first := c.list(t, "").Data[0]
	execute(t, s.db, `UPDATE memexport.exports SET expires_at = now() WHERE id = $1`, first.ID)
	_, stderr := p.run(t, 6, "download", first.ID, "-o", "other")
	says(t, "download", stderr, first.ID, "expired")
	_, stderr = p.run(t, 0, "export", "-o", "out")
	says(t, "export", stderr, first.ID, "gone")
	second := c.list(t, "").Data[0]
	if second.ID == first.ID {
		t.Error("the second run did not make another export")
	}
	same(t, "the digest of the file", hexDigest(p.read(t, "out")), *second.SHA256)
	same(t, "files", p.files(t), "out")

	// The third export expires during its download.
	held = front.hold(1 << 20)
	child = p.start(t, "export", "-o", "third")
	receive(t, held, "the download is held")
	third := c.list(t, "").Data[0]
	execute(t, s.db, `UPDATE memexport.exports SET expires_at = now() WHERE id = $1`, third.ID)
	child.Kill()
	front.release()
	p.run(t, 6, "download", third.ID, "-o", "third")
	same(t, "files", p.files(t), "out")
}

func TestNoAnswerEndsWithExitCode7AndAWrongURLIsNamed(t *testing.T) {
	s := sharedStack(t)
	unreachable := newPerson(t, "http://127.0.0.1:1", s.key) // nothing listens on port 1
	_, stderr := unreachable.run(t, 7, "list", "--retry-for", "2s")
	says(t, "list", stderr, "127.0.0.1:1", "trying again", "given up")
	unreachable.run(t, 7, "export", "-o", "out", "--retry-for", "0s")
	same(t, "files", unreachable.files(t), "")
	_, stderr = newPerson(t, "http://no-such-host.invalid", s.key).run(t, 7, "list")
	says(t, "list", stderr, "no-such-host.invalid")
	_, stderr = newPerson(t, strings.Replace(s.url, "http:", "https:", 1), s.key).run(t, 7, "list")
	if strings.Contains(stderr, "trying again") {
		t.Errorf("a server that does not speak TLS is asked again:\n%s", stderr)
	}

	down := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
	defer down.Close()
	_, stderr = newPerson(t, down.URL, s.key).run(t, 7, "list", "--retry-for", "1s")
	says(t, "list", stderr, "502")

	var leaked atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { leaked.Store(true) }))
	defer other.Close()
	for name, handler := range map[string]http.Handler{
		"redirects":    http.RedirectHandler(other.URL, http.StatusFound),
		"answered 200": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>Welcome")) }),
		"answered 404": http.NotFoundHandler(),
	} {
		server := httptest.NewServer(handler)
		p := newPerson(t, server.URL, s.key)
		for _, args := range [][]string{{"list"}, {"export", "-o", "out"}, {"get", unknownID}} {
			_, stderr := p.run(t, 2, args...)
			says(t, args[0], stderr, name, "MEMEXPORT_URL")
		}
		same(t, "files", p.files(t), "")
		server.Close()
	}
	if leaked.Load() {
		t.Error("a redirect was followed, with the key")
	}
	_, stderr = newPerson(t, s.url+"/elsewhere", s.key).run(t, 2, "list")
	says(t, "list", stderr, "MEMEXPORT_URL")
}

func TestAFileThatIsDamagedOnTheWayEndsWithExitCode8(t *testing.T) {
	s := sharedStack(t)
	front := newProxy(t, s.url)
	p := newPerson(t, front.url, s.key)
	e := s.client().ready(t, s.client().create(t, "priority=LOW").ID, time.Minute)
	front.damageDownloads()
	_, stderr := p.run(t, 8, "download", e.ID, "-o", "out")
	says(t, "download", stderr, *e.SHA256)
	if _, err := os.Stat(p.path("out")); err == nil {
		t.Error("the damaged file was kept")
	}
	p.run(t, 8, "download", e.ID, "-o", "-")
	front.passDownloads()
	p.run(t, 0, "download", e.ID, "-o", "out")
	same(t, "the digest of the file", hexDigest(p.read(t, "out")), *e.SHA256)
}
