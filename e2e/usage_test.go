package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"memexport/internal/workshop/demo"
	"memexport/internal/workshop/parse"
	"memexport/internal/workshop/process"
)

func TestTheCommandsThatDevPrintsWork(t *testing.T) {
	s := sharedStack(t)
	_, after, found := strings.Cut(s.stdout.String(), "Try it in another terminal:")
	lines, _, closed := strings.Cut(after, "Press Ctrl-C")
	if !found || !closed || strings.Count(lines, "curl") < 3 {
		t.Fatalf("dev does not print commands to try:\n%s", s.stdout.String())
	}
	for _, wanted := range []string{s.url, s.key, filepath.Join(s.dir, "memexport.log")} {
		if !strings.Contains(s.stdout.String(), wanted) {
			t.Errorf("dev does not print %s", wanted)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), endTimeout)
	defer cancel()
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", lines)
	cmd.Dir = t.TempDir()
	cmd.Env = process.CleanEnviron()
	out, err := process.Run(ctx, cmd, process.RunOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out, `"status":"READY"`) {
		t.Errorf("the commands do not print a READY export:\n%s", out)
	}
	files, err := filepath.Glob(filepath.Join(cmd.Dir, "memories-*.csv"))
	if err != nil || len(files) != 1 {
		t.Fatalf("the commands downloaded %q, %v, and printed:\n%s", files, err, out)
	}
	file, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out, hexDigest(file)) {
		t.Errorf("the digest of the downloaded file was not printed:\n%s", out)
	}
	again, err := os.ReadFile(filepath.Join(cmd.Dir, "high.csv"))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "the file of memexport export", string(again), string(file))
	got, err := parse.Formats["csv"](file)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "the downloaded file", got, table(t, s.db, demo.WorkspaceID, "priority = 'HIGH'"))
}

func TestOnlyTheOwnerCanReadTheSecretsOfDev(t *testing.T) {
	s := sharedStack(t)
	for _, name := range []string{"api-key", "admin-url", "database-url", "memexport.log"} {
		info, err := os.Stat(filepath.Join(s.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		same(t, "the permissions of "+name, info.Mode().Perm(), 0o600)
	}
}
