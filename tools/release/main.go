// Command release builds the files of a release: an archive of the program and an SBOM for each
// platform, a container image for two platforms, and SHA256SUMS, which covers all of them. `make
// release` runs it.
//
// With the same version of Go, the same commit always results in the same bytes. The files contain
// no paths of the build machine, and all times in them are the time of the commit.
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

// release builds the files of one release.
type release struct {
	source
	out       string // the directory to write to
	platforms []platform
	documents []entry // content of the documents; set by the method make
	log       func(format string, args ...any)
}

// make writes all files of the release and returns their paths.
func (r *release) make(ctx context.Context) ([]string, error) {
	var err error
	if r.documents, err = readDocuments(r.root); err != nil { // read them before the builds, which take minutes
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

// clearOut creates the output directory and deletes the files of earlier releases in it.
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
