package e2e

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"memexport/internal/workshop/parse"
)

func TestMemoriesAndKeysDoNotLeak(t *testing.T) {
	s := sharedStack(t)
	c := s.newTenant(t)
	word := strings.ReplaceAll(uuid.NewString(), "-", "")
	text, attribute := "text-"+word, "attribute-"+word
	memories := awkwardMemories(c.workspace, []string{text + " and more", "other"}, []string{"2025-01-01T00:00:00.000000Z"})
	for i := range memories {
		memories[i].User, memories[i].Agent, memories[i].Session = &attribute, &attribute, &attribute
		memories[i].Categories = []string{attribute}
	}
	insert(t, s.db, memories)
	for format := range formats {
		e := c.ready(t, c.create(t, "format="+format+"&user_id="+attribute+"&agent_id="+attribute+"&session_id="+attribute+"&categories="+attribute).ID, time.Minute)
		file := c.do(t, "GET", "/v1/exports/"+e.ID+"/download").want(t, 200)
		found, err := parse.Formats[format](file.body)
		if err != nil || !slices.ContainsFunc(found, func(m memory) bool {
			return m.Text != nil && strings.Contains(*m.Text, text) && *m.User == attribute
		}) {
			t.Errorf("the file as %s does not have the secret, so this tests nothing: %v", format, err)
		}
	}
	// Error responses must not contain the rejected value. They may contain the name of a
	// parameter.
	var refused bytes.Buffer
	for _, query := range []string{"user_id=" + word + "&format=xml", word + "x=1", "created_after=" + word, "page=" + word, "priority=" + word, "%zz" + word} {
		a := c.do(t, "POST", "/v1/exports?"+query).problem(t, 422, "INVALID_REQUEST")
		if !strings.HasPrefix(query, word) {
			refused.Write(a.body)
		}
	}
	c.do(t, "GET", "/"+word+"/"+c.key).problem(t, 404, "NOT_FOUND")
	c.do(t, "GET", "/v1/exports/"+word).problem(t, 404, "EXPORT_NOT_FOUND")
	c.list(t, "")
	absent(t, "a refusal", refused.Bytes(), word)
	absent(t, "an answer", withoutRequests(c.answers()), text, c.key)

	searched := 0
	for _, pattern := range []string{"memexport.log", "temporal.log", "temporal-*.db*", "postgres.log"} {
		searched += absentFromFiles(t, s.dir, pattern, word, c.key, s.key)
	}
	t.Logf("searched %d bytes of logs and of Temporal's state", searched)

	// The database contains the memories, but it must contain only hashes of the keys.
	execute(t, s.db, `CHECKPOINT`)
	err := filepath.WalkDir(s.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || entry.Name() == "api-key" {
			return ignoreGone(err)
		}
		content, err := os.ReadFile(path)
		absent(t, path, content, c.key, s.key)
		return ignoreGone(err)
	})
	if err != nil {
		t.Error(err)
	}
}

// ignoreGone returns nil if err means that a file no longer exists, because Postgres deletes files
// all the time.
func ignoreGone(err error) error {
	if gone(err) {
		return nil
	}
	return err
}

// withoutRequests removes the lines that contain the method and the path of a request.
func withoutRequests(answers []byte) []byte {
	var kept []byte
	for line := range bytes.Lines(answers) {
		if !bytes.HasPrefix(line, []byte("GET ")) && !bytes.HasPrefix(line, []byte("POST ")) {
			kept = append(kept, line...)
		}
	}
	return kept
}
