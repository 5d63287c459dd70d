package client_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheClientIsThatOfTheDocument(t *testing.T) {
	source, err := os.ReadFile("client.go")
	if err != nil {
		t.Fatal(err)
	}
	_, line, found := strings.Cut(string(source), "//go:generate ")
	if !found {
		t.Fatal("client.go does not say how it is generated")
	}
	args := strings.Fields(line)
	out := filepath.Join(t.TempDir(), "client.go")
	args = append(args[:len(args)-1], "-o", out, args[len(args)-1]) // the document is the last
	if text, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, text)
	}
	generated, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	committed, err := os.ReadFile("client.gen.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(generated, committed) {
		t.Error("client.gen.go is not what openapi/openapi.yaml says: run make generate")
	}
}
