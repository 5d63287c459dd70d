package format_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"memexport/internal/service/format"
	"memexport/internal/service/memory"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

// The golden files show reviewers what a file looks like, and whether a code change alters it.
func TestFilesMatchTheGoldenFiles(t *testing.T) {
	plain, lines, hostile, bare := sample(), sample(), sample(), sample()
	lines.ID = []byte("0192f0c1-7a3e-7c44-9b1d-3f5a6e7d8c91")
	lines.Text = []byte("Shopping list:\n\n- oat milk\n- \"the good\" bread, sliced\n\nSpeaks Deutsch, 日本語 and עברית. 😀\n")
	lines.LastAccessedAt = memory.NullTime{}
	hostile.ID = []byte("0192f0c1-7a3e-7c44-9b1d-3f5a6e7d8c92")
	hostile.Text = []byte("=HYPERLINK(\"http://example.com\")\r\n<textarea>[a]: /x \\\r\n\r\n## Not a heading")
	hostile.UserID, hostile.AgentID, hostile.SessionID = []byte("@SUM(A1)"), []byte(" `agent`\n"), []byte{}
	hostile.Categories = []byte(`["a,b","c\"d",null,""]`)
	hostile.Metadata = []byte("{\"a\": [1, -2.50, true, null, {\"b\": \"``\"}]}")
	bare.ID = []byte("0192f0c1-7a3e-7c44-9b1d-3f5a6e7d8c93")
	for _, column := range nullable(&bare) {
		*column = nil
	}
	bare.LastAccessedAt, bare.CreatedAt = memory.NullTime{}, memory.Infinity

	for _, f := range format.All {
		path := filepath.Join("testdata", "memories."+f.Extension)
		got := encode(f, []memory.Memory{plain, lines, hostile, bare}, nil)
		if *update {
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s differs; go test -update rewrites it:\n%.5000s", path, got)
		}
	}
}
