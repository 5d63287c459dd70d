// Command stores helps `make test-stores`. `stores prepare` builds and installs the servers.
// `stores table` reads the output of `go test -json`. It prints the output of failing tests, and a
// table with the result of every TestStores case on every store. Its exit code is not 0 if a test
// failed or was skipped, or if a store has no result.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"memexport/internal/workshop/storetest"
)

// event is a line of `go test -json`, with only the fields that are used here.
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
	Elapsed float64 // seconds
}

// results collects the test results so far.
type results struct {
	cases  []string                     // in the order in which their first results arrived
	byCase map[string]map[string]string // result by case and then by store
	output map[string]*strings.Builder  // by test
	failed []string
	stores map[string]bool
}

func main() {
	switch {
	case len(os.Args) == 2 && os.Args[1] == "prepare":
		log := func(format string, args ...any) { fmt.Printf(format+"\n", args...) }
		if err := storetest.Prepare(context.Background(), log); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case len(os.Args) == 2 && os.Args[1] == "table":
		os.Exit(table())
	default:
		fmt.Fprintln(os.Stderr, "usage: stores prepare | stores table")
		os.Exit(2)
	}
}

// table reads the test output from standard input, prints the table and returns the exit code.
func table() int {
	began := time.Now()
	r := results{byCase: map[string]map[string]string{}, output: map[string]*strings.Builder{}, stores: map[string]bool{}}
	if err := r.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "stores table:", err)
		return 1
	}
	r.print(os.Stdout)
	for _, name := range storetest.Names {
		if !r.stores[name] {
			r.failed = append(r.failed, "no result for the store "+name)
		}
	}
	fmt.Printf("%d cases on %d stores in %s\n", len(r.cases), len(r.stores), time.Since(began).Round(time.Second))
	if len(r.failed) > 0 {
		fmt.Printf("FAILED: %s\n", strings.Join(r.failed, ", "))
		return 1
	}
	return 0
}

func (r *results) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if jsonErr := json.Unmarshal(line, &e); jsonErr != nil {
				fmt.Printf("%s", line) // this line is not JSON: the go command printed it, for example as a build error
			} else {
				r.add(e)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (r *results) add(e event) {
	test := e.Package + " " + e.Test
	switch e.Action {
	case "output", "build-output":
		if r.output[test] == nil {
			r.output[test] = &strings.Builder{}
		}
		r.output[test].WriteString(e.Output)
	case "fail", "build-fail", "skip":
		fmt.Printf("%s: %s\n", strings.ToUpper(e.Action), test)
		if out := r.output[test]; out != nil {
			fmt.Print(out.String())
		}
		r.failed = append(r.failed, strings.TrimSpace(test))
		fallthrough
	case "pass":
		path := strings.Split(e.Test, "/")
		if len(path) != 3 {
			return
		}
		store, name := path[1], path[2]
		if r.byCase[name] == nil {
			r.byCase[name] = map[string]string{}
			r.cases = append(r.cases, name)
		}
		word := map[string]string{"pass": "ok"}[e.Action]
		if word == "" {
			word = "FAIL"
		}
		r.byCase[name][store] = fmt.Sprintf("%s %.1fs", word, e.Elapsed)
		r.stores[store] = true
	}
}

func (r *results) print(out io.Writer) {
	const column = "%-12s"
	width := 0
	for _, name := range r.cases {
		width = max(width, len(name))
	}
	fmt.Fprintf(out, "\n%-*s ", width, "")
	for _, store := range storetest.Names {
		fmt.Fprintf(out, column, store)
	}
	fmt.Fprintln(out)
	for _, name := range r.cases {
		fmt.Fprintf(out, "%-*s ", width, name)
		for _, store := range storetest.Names {
			result := r.byCase[name][store]
			if result == "" {
				result = "-"
			}
			fmt.Fprintf(out, column, result)
		}
		fmt.Fprintln(out)
	}
}
