package main

import (
	"os/exec"
	"path/filepath"
	"testing"
)

func TestEveryPatchApplies(t *testing.T) {
	t.Chdir("../..")
	names, err := patchNames()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if out, err := exec.Command("git", "apply", "--check", filepath.Join(dir, name+".patch")).CombinedOutput(); err != nil {
			t.Errorf("%s: change the patch so that it breaks the present code: %v\n%s", name, err, out)
		}
	}
}
