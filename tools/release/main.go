// Command release builds what a release consists of: an archive of the program for each platform with an
// SBOM beside it, a container image for two platforms, and SHA256SUMS over all of them.
//
// The same commit gives the same bytes, if the version of Go is the same: the build records no paths, and
// every time is the time of the commit. `make release` runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/dustin/go-humanize"
)

func main() {
	root := flag.String("root", "../..", "the directory of the repository")
	out := flag.String("out", "../../dist", "the directory to write to; its files of earlier releases are removed")
	version := flag.String("version", os.Getenv("VERSION"), "the version; defaults to VERSION, or to what git describe says")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *root, *out, *version); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, root, out, version string) error {
	s, err := readSource(ctx, root, version)
	if err != nil {
		return err
	}
	fmt.Printf("memexport %s (commit %s, %s)\n", s.version, s.commit, s.time.Format(time.RFC3339))
	r := release{source: s, out: out, platforms: platforms, log: func(format string, args ...any) { fmt.Printf(format+"\n", args...) }}
	files, err := r.make(ctx)
	if err != nil {
		return err
	}
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			return err
		}
		fmt.Printf("%10s  %s\n", humanize.Bytes(uint64(info.Size())), file)
	}
	return nil
}

// release is a release in the making.
type release struct {
	source
	out       string // the directory to write to
	platforms []platform
	documents []entry // read by make
	log       func(format string, args ...any)
}

// make writes all files and returns their paths.
func (r *release) make(ctx context.Context) ([]string, error) {
	var err error
	if r.documents, err = readDocuments(r.root); err != nil { // before the builds, which take minutes
		return nil, err
	}
	if err := r.clearOut(); err != nil {
		return nil, err
	}
	work, err := os.MkdirTemp("", "memexport-release-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	var files []string
	programs := map[platform]string{}
	for _, p := range r.platforms {
		began := time.Now()
		program := filepath.Join(work, p.os+"_"+p.arch, p.programName())
		if err := r.build(ctx, p, program); err != nil {
			return nil, err
		}
		r.log("built %s in %s", p, time.Since(began).Round(time.Second))
		programs[p] = program
		archive, err := r.writeArchive(p, program)
		if err != nil {
			return nil, err
		}
		bom, err := r.writeSBOM(p, program)
		if err != nil {
			return nil, err
		}
		files = append(files, archive, bom)
	}
	image, err := r.writeImage(work, programs)
	if err != nil {
		return nil, err
	}
	files = append(files, image)
	sums, err := r.writeChecksums(files)
	return append(files, sums), err
}

// clearOut makes the output directory and removes the files of earlier releases from it.
func (r *release) clearOut() error {
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return err
	}
	old, err := filepath.Glob(filepath.Join(r.out, "memexport_*"))
	if err != nil {
		return err
	}
	var problems []error
	for _, path := range old {
		problems = append(problems, os.Remove(path))
	}
	return errors.Join(problems...)
}
