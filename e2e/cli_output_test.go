package e2e

import (
	"regexp"
	"strings"
	"testing"
)

func TestProgressIsPlainLinesWhenStandardErrorIsNotATerminal(t *testing.T) {
	s := sharedStack(t)
	p := newPerson(t, s.url, s.key)
	release := blockReading(t, s.db)
	child := p.start(t, "export", "--format", "csv", "-o", "out")
	child.wantSays(t, "exporting: 0 memories, 0%\n")
	release()
	child.wantCode(t, 0)
	e := s.client().list(t, "page_size=1").Data[0]
	stdout, stderr := child.stdout.String(), child.stderr.String()
	if strings.ContainsAny(stdout+stderr, "\r\x1b") {
		t.Errorf("it moves the cursor, as on a terminal:\n%q", stderr)
	}
	says(t, "standard error", stderr, "export "+e.ID+"\n", "exporting: 10,000 memories, 100%", "downloading: ", ", 100%")
	if !regexp.MustCompile(`^out: 10,000 memories, [0-9.]+ MB, sha256 ` + *e.SHA256 + "\n$").MatchString(stdout) {
		t.Errorf("standard output is %q", stdout)
	}
}

func TestQuietPrintsOnlyErrors(t *testing.T) {
	s := sharedStack(t)
	p := newPerson(t, s.url, s.key)
	stdout, stderr := p.run(t, 0, "export", "--quiet", "-o", "out")
	same(t, "its output", stdout+stderr, "")
	stdout, stderr = p.run(t, 0, "export", "--quiet", "--json", "-o", "json")
	same(t, "standard error with --json", stderr, "")
	same(t, "the file in JSON", decode[struct{ File string }](t, stdout).File, "json")
	// With -q, the command prints the final error, but not the failures before its retries.
	_, stderr = p.run(t, 7, "export", "-q", "-o", "other", "--url", "http://127.0.0.1:1", "--retry-for", "1s")
	if strings.Count(stderr, "\n") != 1 || strings.Contains(stderr, "trying again") {
		t.Errorf("standard error is:\n%s", stderr)
	}
}

func TestAFileIsOverwrittenOnlyWithForce(t *testing.T) {
	s := sharedStack(t)
	p := newPerson(t, s.url, s.key)
	p.run(t, 0, "export", "--priority", "LOW", "-o", "out")
	before := hexDigest(p.read(t, "out"))
	_, stderr := p.run(t, 2, "export", "--priority", "HIGH", "-o", "out")
	says(t, "standard error", stderr, "out", "--force")
	same(t, "the digest of the file", hexDigest(p.read(t, "out")), before)
	p.run(t, 0, "export", "--priority", "HIGH", "-o", "out", "--force")
	e := s.client().list(t, "page_size=1").Data[0]
	same(t, "the digest of the file", hexDigest(p.read(t, "out")), *e.SHA256)
	// The command must not overwrite a file whose name comes from the server either.
	p.run(t, 0, "download", e.ID)
	_, stderr = p.run(t, 2, "download", e.ID)
	says(t, "standard error", stderr, e.ID, "--force")
	p.run(t, 0, "download", e.ID, "--force")
	same(t, "files", len(strings.Fields(p.files(t))), 2)
}
