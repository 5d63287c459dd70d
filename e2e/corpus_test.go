package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

const (
	corpusMemories = 105_000  // a greater number would take longer and find no new errors
	corpusFile     = 64 << 10 // bytes; larger files contain mostly repetitions
)

// errEnough is the error that ends walk when there are enough memories.
var errEnough = errors.New("enough")

func TestRealTextIsExportedUnchanged(t *testing.T) {
	t.Parallel()
	s := sharedStack(t)
	c := s.newTenant(t)
	began := time.Now()
	corpus := readCorpus(t, c.workspace)
	if len(corpus) < 100_000 {
		t.Fatalf("the corpus has only %d texts", len(corpus))
	}
	insert(t, s.db, corpus)
	want := table(t, s.db, c.workspace, "")
	size, lines := 0, 0
	for _, m := range want {
		size += len(*m.Text)
		lines += strings.Count(*m.Text, "\n") + 1
	}
	t.Logf("%d distinct paragraphs of real text, %d lines and %d bytes, were read and stored in %s", len(want), lines, size,
		time.Since(began).Round(time.Millisecond))
	same(t, "memories in the table", len(want), len(corpus))
	var exports []object
	for format := range formats {
		exports = append(exports, c.create(t, "format="+format))
	}
	for _, e := range exports {
		began := time.Now()
		e = c.ready(t, e.ID, 2*time.Minute)
		checkFile(t, c.client, e, want)
		t.Logf("%s: %d memories, %d bytes, every field equal; exported in %s, compared in %s", e.Format, e.MemoryCount, *e.SizeBytes,
			e.CompletedAt.Sub(*e.StartedAt).Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	}
}

// readCorpus makes memories from paragraphs of the files in the Go distribution. These files contain code
// in several languages, prose, and test inputs of parsers and encoders. readCorpus stops when it has
// enough memories, so it reads the rarest kinds of files first.
func readCorpus(t *testing.T, workspace string) []memory {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	goroot := strings.TrimSpace(string(out))
	k := corpusReader{workspace: workspace, seen: map[string]bool{}, first: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)}
	err = errors.Join(
		k.walk("/usr/share/common-licenses", func(string) bool { return true }), // some systems do not have this directory
		k.walk(goroot, func(path string) bool { return strings.Contains(path, "/testdata/") && filepath.Ext(path) != ".go" }),
		k.walk(goroot, func(path string) bool { return filepath.Ext(path) != ".go" }),
		k.walk(goroot, func(path string) bool { return filepath.Ext(path) == ".go" }))
	if err != nil {
		t.Fatal(err)
	}
	return k.memories
}

type corpusReader struct {
	workspace string
	first     time.Time
	seen      map[string]bool
	memories  []memory
}

func (k *corpusReader) walk(dir string, wanted func(path string) bool) error {
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !wanted(path) {
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
				return nil
			}
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil || len(content) > corpusFile || !utf8.Valid(content) || bytes.IndexByte(content, 0) >= 0 {
			return nil // skip files that are not text, or that contain text that Postgres does not accept
		}
		return k.add(path, string(content))
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// add makes a memory from each paragraph of a file, including its white space, unless an earlier
// memory has the same paragraph.
func (k *corpusReader) add(path, content string) error {
	line := 1
	for paragraph := range strings.SplitSeq(content, "\n\n") {
		if at := line; !k.seen[paragraph] && strings.TrimSpace(paragraph) != "" {
			k.seen[paragraph] = true
			if err := k.remember(path, at, paragraph); err != nil {
				return err
			}
		}
		line += strings.Count(paragraph, "\n") + 2
	}
	return nil
}

func (k *corpusReader) remember(path string, line int, text string) error {
	n := len(k.memories)
	if n == corpusMemories {
		return errEnough
	}
	firstLine, _, _ := strings.Cut(text, "\n")
	metadata, err := json.Marshal(map[string]any{"path": path, "line": line, "begins": firstLine})
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(k.workspace + text))
	// Consecutive memories have ids that are close to each other in the index, but not in ascending order.
	h := fmt.Sprintf("%08x", n/1000) + hex.EncodeToString(sum[:12])
	words := strings.Fields(firstLine)
	encoded, user, agent := string(metadata), filepath.Dir(path), filepath.Ext(path)
	created := k.first.Add(time.Duration(n/2) * 1_000_003 * time.Microsecond).Format(time.RFC3339Nano)
	m := memory{ID: fmt.Sprintf("%s-%s-%s-%s-%s", h[:8], h[8:12], h[12:16], h[16:20], h[20:]), Text: &text, User: &user, Agent: &agent,
		Priority: []string{"LOW", "MEDIUM", "HIGH"}[n%3], Status: "COMPLETED", Categories: words[:min(len(words), 8)], Metadata: &encoded,
		Workspace: k.workspace, AccessCount: int64(line), Created: &created, Updated: &created}
	if n%4 == 0 {
		m.Session, m.Accessed = &firstLine, &created
	}
	k.memories = append(k.memories, m)
	return nil
}
