package client_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheClientIsGeneratedFromTheDocument(t *testing.T) {
	source, err := os.ReadFile("client.go")
	if err != nil {
		t.Fatal(err)
	}
	_, line, found := strings.Cut(string(source), "//go:generate ")
	if !found {
		t.Fatal("client.go has no go:generate line")
	}
	args := strings.Fields(line)
	out := filepath.Join(t.TempDir(), "client.go")
	args = append(args[:len(args)-1], "-o", out, args[len(args)-1]) // the last argument is the document
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
		t.Error("client.gen.go differs from what openapi/openapi.yaml generates: run make generate")
	}
}
