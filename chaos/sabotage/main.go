// Command sabotage shows that chaos would notice a defect. Each patch in this directory adds one defect to
// the service. For each patch, the program copies the project, applies the patch, builds memexport, and runs
// chaos until chaos finds a violation. It prints a table. If chaos did not notice a patch, the exit code is
// 1.
//
//	go run ./chaos/sabotage                     every patch
//	go run ./chaos/sabotage no-outbox lost-page  these
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"memexport/internal/workshop/process"
)

// aimed are further flags for defects that only a rare fault reveals.
var aimed = map[string][]string{"no-fence": {"-faults", "a reset starts another"}}

// dir is where the patches are, from the top of the project.
const dir = "chaos/sabotage"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills this process at once, together with its children
	seconds := flag.Int("seconds", 120, "how long faults are injected with each seed")
	bound := flag.Duration("bound", 3*time.Minute, "how long after the last fault everything must have ended")
	seeds := flag.Int("seeds", 3, "how many seeds are tried, from 1")
	flag.Parse()
	if err := run(ctx, flag.Args(), *seeds, "-seconds", strconv.Itoa(*seconds), "-bound", bound.String(), "-first"); err != nil {
		fmt.Fprintln(os.Stderr, "sabotage:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, names []string, seeds int, flags ...string) error {
	patches, err := patchNames()
	if err != nil {
		return err
	}
	if len(names) == 0 {
		names = patches
	}
	temp, err := os.MkdirTemp("", "memexport-sabotage-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	chaos := filepath.Join(temp, "chaos")
	if _, err := process.Run(ctx, exec.Command("go", "build", "-buildvcs=false", "-o", chaos, "./chaos"), process.RunOptions{}); err != nil {
		return err
	}
	missed := 0
	fmt.Println("| sabotage | caught after | seed | by |\n| --- | --- | --- | --- |")
	for _, name := range names {
		program, err := build(ctx, temp, name)
		if err != nil {
			return err
		}
		row := "not caught | | "
		for seed := 1; seed <= seeds; seed++ {
			found, err := try(ctx, chaos, slices.Concat(flags, aimed[name], []string{"-program", program, "-seed", strconv.Itoa(seed)}))
			if err != nil {
				return err
			}
			if found != "" {
				row = found
				break
			}
		}
		if strings.HasPrefix(row, "not") {
			missed++
		}
		fmt.Printf("| %s | %s |\n", name, row)
	}
	if missed > 0 {
		return fmt.Errorf("%d patches were not noticed: raise -seconds or -seeds, or teach chaos to notice them", missed)
	}
	return nil
}

// patchNames returns the names of the patches, without their extension.
func patchNames() ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.patch"))
	for i, file := range files {
		files[i] = strings.TrimSuffix(filepath.Base(file), ".patch")
	}
	if err == nil && len(files) == 0 {
		err = errors.New("there are no patches: run this in the top directory of the project")
	}
	return files, err
}

// build returns the path of a memexport that was built from the last commit and one patch.
func build(ctx context.Context, temp, name string) (string, error) {
	tree, err := filepath.Abs(filepath.Join(temp, name))
	if err != nil {
		return "", err
	}
	patch, err := filepath.Abs(filepath.Join(dir, name+".patch"))
	if err != nil {
		return "", err
	}
	for _, args := range [][]string{
		{"git", "clone", "-q", "--shared", "--no-checkout", ".", tree},
		{"git", "-C", tree, "checkout", "-q", "HEAD"},
		{"git", "-C", tree, "apply", patch},
	} {
		if _, err := process.Run(ctx, exec.Command(args[0], args[1:]...), process.RunOptions{}); err != nil {
			return "", err
		}
	}
	compile := exec.Command("go", "build", "-buildvcs=false", "-o", filepath.Join(temp, "memexport-"+name), "./cmd/memexport")
	compile.Dir = tree
	if _, err := process.Run(ctx, compile, process.RunOptions{}); err != nil {
		return "", err
	}
	return filepath.Join(temp, "memexport-"+name), os.RemoveAll(tree)
}

var violation = regexp.MustCompile(`([0-9.]+)s  VIOLATION seed=(\d+) export=\S*: (.*)`)

// try runs chaos once. It returns the end of a line of the table, or nothing if chaos found no violation.
func try(ctx context.Context, chaos string, args []string) (string, error) {
	_, err := process.Run(ctx, exec.Command(chaos, args...), process.RunOptions{Grace: time.Minute})
	var failure *process.Failure
	if !errors.As(err, &failure) {
		return "", err
	}
	found := violation.FindStringSubmatch(failure.Output)
	if found == nil {
		return "", err
	}
	// The ids of this run say nothing to a reader of the table.
	text := regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`).ReplaceAllString(found[3], "ID")
	return fmt.Sprintf("%s s | %s | %s", found[1], found[2], text), nil
}
