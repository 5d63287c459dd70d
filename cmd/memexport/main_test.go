package main

import (
	"bytes"
	"crypto/x509"
	"errors"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"
)

// run runs a command. It returns what the command printed to standard output, and its error.
func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var stdout bytes.Buffer
	root := command()
	root.SetOut(&stdout)
	root.SetErr(&stdout)
	root.SetArgs(args)
	err := execute(t.Context(), root)
	return stdout.String(), err
}

func TestTheVersionHasTheCommit(t *testing.T) {
	text, err := run(t, "--version")
	if err != nil || !regexp.MustCompile(`^memexport version \S+ \(commit .+\)\n$`).MatchString(text) {
		t.Errorf("--version prints %q, %v", text, err)
	}
	for want, settings := range map[string][]debug.BuildSetting{
		"abc":              {{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "false"}},
		"abc with changes": {{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "true"}},
		"":                 {{Key: "CGO_ENABLED", Value: "0"}},
	} {
		if got := recordedCommit(&debug.BuildInfo{Settings: settings}); got != want {
			t.Errorf("the commit of %v is %q, want %q", settings, got, want)
		}
	}
}

func TestAURLThatIsNotTheServicesAddressIsRefusedWithARemedy(t *testing.T) {
	t.Setenv("MEMEXPORT_API_KEY", "msk_test_x")
	for address, remedy := range map[string]string{
		"https://exports.example.com/v1/exports":  "https://exports.example.com",
		"https://exports.example.com/v1/exports/": "https://exports.example.com",
		"https://example.com/memories/v1":         "give https://example.com/memories",
		"ftp://exports.example.com":               "https://exports.example.com",
		"exports.example.com":                     "https://exports.example.com",
		"https://user:secret@exports.example.com": "https://exports.example.com",
	} {
		_, err := run(t, "list", "--url", address)
		if exitCode(err) != exitUsage || !strings.HasSuffix(err.Error(), remedy) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: exit code %d with %v, want %d and the remedy %q", address, exitCode(err), err, exitUsage, remedy)
		}
	}
}

func TestAMissingDirectoryIsAUsageError(t *testing.T) {
	t.Setenv("MEMEXPORT_API_KEY", "msk_test_x")
	dir := filepath.Join(t.TempDir(), "missing")
	_, err := run(t, "export", "--url", "http://127.0.0.1:1", "--retry-for", "0s", "-o", filepath.Join(dir, "out.json"))
	if exitCode(err) != exitUsage || !strings.Contains(err.Error(), dir) {
		t.Errorf("exit code %d with %v, want %d and the directory", exitCode(err), err, exitUsage)
	}
}

func TestAnUnknownErrorEndsWith1(t *testing.T) {
	if got := exitCode(errors.New("disk full")); got != exitOther {
		t.Errorf("the exit code is %d, want %d", got, exitOther)
	}
}

// The container image has no root certificates, so the program must contain them. The standard library
// panics if a program sets fallback roots twice. An imported package sets them, so the call in this test
// must panic.
func TestTheProgramHasRootCertificates(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no package has set fallback roots")
		}
	}()
	x509.SetFallbackRoots(x509.NewCertPool())
}
