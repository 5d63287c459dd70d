package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// testPlatforms are only some of the platforms, to save time. They cover both kinds of archives and
// both platforms of the image.
var testPlatforms = []platform{{os: "linux", arch: "amd64"}, {os: "linux", arch: "arm64"}, {os: "windows", arch: "amd64"}}

// repository creates a small repository with a program that prints its version, and commits it.
func repository(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range map[string]string{
		"go.mod":                "module memexport\n\ngo 1.26.0\n",
		"cmd/memexport/main.go": "package main\n\nvar version, commit string\n\nfunc main() { println(version, commit) }\n",
		"README.md":             "# memexport\n",
		"CHANGELOG.md":          "# Changes\n",
		"docs/cli.md":           "# The program\n",
	} {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	mustGit(t, root, "init", "-q")
	mustGit(t, root, "add", ".")
	commit(t, root)
	return root
}

func commit(t *testing.T, root string) {
	mustGit(t, root, "-c", "user.name=x", "-c", "user.email=x@example.com", "commit", "-q", "--allow-empty", "-m", "x")
}

// mustGit runs git in a directory.
func mustGit(t *testing.T, dir string, args ...string) {
	t.Helper()
	if _, err := git(t.Context(), dir, args...); err != nil {
		t.Fatal(err)
	}
}

// released builds a release of the repository at root and returns the release's directory.
func released(t *testing.T, root string) string {
	t.Helper()
	s, err := readSource(t.Context(), root, "")
	if err != nil {
		t.Fatal(err)
	}
	r := release{source: s, out: filepath.Join(t.TempDir(), "dist"), platforms: testPlatforms, log: t.Logf}
	if _, err := r.make(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r.out
}

func TestTheVersionComesFromTheTag(t *testing.T) {
	root := repository(t)
	version := func(given string) string {
		s, err := readSource(t.Context(), root, given)
		if err != nil {
			t.Fatal(err)
		}
		return s.version
	}
	if got := version(""); !strings.HasPrefix(got, "0.0.0-g") {
		t.Errorf("without a tag the version is %q", got)
	}
	mustGit(t, root, "tag", "v1.2.3")
	if got := version(""); got != "1.2.3" {
		t.Errorf("at the tag v1.2.3 the version is %q", got)
	}
	if got := version("v2.0.0-rc.1"); got != "2.0.0-rc.1" {
		t.Errorf("with VERSION=v2.0.0-rc.1 the version is %q", got)
	}
	commit(t, root)
	if got := version(""); !strings.HasPrefix(got, "1.2.3-1-g") {
		t.Errorf("one commit after the tag v1.2.3 the version is %q", got)
	}
	if err := os.WriteFile(filepath.Join(root, "README.md"), []byte("changed"), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := readSource(t.Context(), root, "")
	if err != nil || !strings.HasSuffix(s.version, "-dirty") || !strings.HasSuffix(s.commit, "-dirty") {
		t.Errorf("with changes the source is %+v, %v", s, err)
	}
	if _, err := readSource(t.Context(), root, "next"); err == nil {
		t.Error("the version next was accepted")
	}
}

func TestTheSameCommitGivesTheSameBytes(t *testing.T) {
	root := repository(t)
	mustGit(t, root, "tag", "v1.2.3")
	// Build the second release from a clone at another path, whose files have other times.
	clone := filepath.Join(t.TempDir(), "clone")
	mustGit(t, root, "clone", "-q", root, clone)
	first, second := released(t, root), released(t, clone)
	sums := []string{read(t, filepath.Join(first, "SHA256SUMS")), read(t, filepath.Join(second, "SHA256SUMS"))}
	if sums[0] != sums[1] {
		t.Errorf("the checksums differ:\n%s\n%s", sums[0], sums[1])
	}
	check := exec.Command("sha256sum", "--check", "--strict", "SHA256SUMS")
	check.Dir = first
	if out, err := check.CombinedOutput(); err != nil || strings.Count(string(out), ": OK") != 2*len(testPlatforms)+1 {
		t.Errorf("sha256sum: %v\n%s", err, out)
	}
	testArchives(t, first)
	testSBOM(t, first)
	testImage(t, filepath.Join(first, "memexport_1.2.3_image.oci.tar"))
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func testArchives(t *testing.T, dir string) {
	unpacked := untar(t, filepath.Join(dir, "memexport_1.2.3_"+runtime.GOOS+"_"+runtime.GOARCH+".tar.gz"))
	top := filepath.Join(unpacked, "memexport_1.2.3_"+runtime.GOOS+"_"+runtime.GOARCH)
	for _, name := range documents {
		read(t, filepath.Join(top, filepath.FromSlash(name)))
	}
	out, err := exec.Command(filepath.Join(top, "memexport")).CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "1.2.3 ") || len(out) < 40 {
		t.Errorf("the unpacked program prints %q, %v", out, err)
	}

	archive, err := zip.OpenReader(filepath.Join(dir, "memexport_1.2.3_windows_amd64.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	var names []string
	for _, f := range archive.File {
		names = append(names, strings.TrimPrefix(f.Name, "memexport_1.2.3_windows_amd64/"))
	}
	if want := append([]string{"memexport.exe"}, documents...); !slices.Equal(names, want) {
		t.Errorf("the zip has %q, want %q", names, want)
	}
}

func testSBOM(t *testing.T, dir string) {
	var bom cdx.BOM
	if err := json.Unmarshal([]byte(read(t, filepath.Join(dir, "memexport_1.2.3_linux_arm64.cdx.json"))), &bom); err != nil {
		t.Fatal(err)
	}
	if c := bom.Metadata.Component; c.Name != "memexport" || c.Version != "v1.2.3" {
		t.Errorf("the SBOM is of %s %s", c.Name, c.Version)
	}
	if !slices.ContainsFunc(*bom.Components, func(c cdx.Component) bool { return c.Name == "std" }) {
		t.Error("the SBOM has no standard library")
	}
}

// untar unpacks a tar archive, which may be compressed, and returns the new directory.
func untar(t *testing.T, path string) string {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var content io.Reader = file
	if strings.HasSuffix(path, ".gz") {
		if content, err = gzip.NewReader(file); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	for archive := tar.NewReader(content); ; {
		header, err := archive.Next()
		if err == io.EOF {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Uid != 0 || header.ModTime.After(time.Now()) || header.ModTime.IsZero() {
			t.Errorf("%s belongs to %d and is of %s", header.Name, header.Uid, header.ModTime)
		}
		body, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		target := filepath.Join(dir, filepath.FromSlash(header.Name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(target), 0o755), os.WriteFile(target, body, header.FileInfo().Mode().Perm())); err != nil {
			t.Fatal(err)
		}
	}
}
