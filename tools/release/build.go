package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// platform is an operating system and an architecture, with Go's names.
type platform struct{ os, arch string }

func (p platform) String() string { return p.os + "/" + p.arch }

// platforms are the platforms of a release. The container image supports the Linux platforms.
var platforms = []platform{
	{os: "linux", arch: "amd64"},
	{os: "linux", arch: "arm64"},
	{os: "darwin", arch: "amd64"},
	{os: "darwin", arch: "arm64"},
	{os: "windows", arch: "amd64"},
	{os: "windows", arch: "arm64"},
}

func (p platform) programName() string {
	if p.os == "windows" {
		return "memexport.exe"
	}
	return "memexport"
}

// fileName returns the path of a release file for a platform.
func (r *release) fileName(p platform, extension string) string {
	return filepath.Join(r.out, fmt.Sprintf("memexport_%s_%s_%s%s", r.version, p.os, p.arch, extension))
}

// build builds the program for a platform. The bytes of the program depend only on the source, the
// version of Go and the flags below. They do not depend on git, because a source archive has no
// repository.
func (r *release) build(ctx context.Context, p platform, program string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-tags", "disable_grpc_modules",
		"-ldflags", fmt.Sprintf("-s -w -X main.version=%s -X main.commit=%s", r.version, r.commit),
		"-o", program, "./cmd/memexport")
	var err error
	if cmd.Dir, err = filepath.Abs(r.root); err != nil {
		return err
	}
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+p.os, "GOARCH="+p.arch, "GOAMD64=v1", "GOARM64=v8.0",
		"GOFLAGS=", "GOEXPERIMENT=", "GOWORK=off")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build for %s: %w", p, err)
	}
	return nil
}
