package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
)

// call is a request that a client made: the operation, the status of the response, and a few words
// about what was requested.
type call struct{ operation, status, what string }

// row is the result of one run of a client.
type row struct {
	client  *client
	service string
	calls   []call
}

// operations are the operations of the document, with the statuses that every client must receive.
var operations = []struct{ name, statuses string }{
	{"createExport", "202 401 403 422"},
	{"listExports", "200 401 403 422"},
	{"getExport", "200 401 403 404"},
	{"downloadExport", "200 206 304 401 403 404 409 410"},
	{"deleteExport", "204 401 403 404"},
}

// checkComplete returns an error if a required call is missing.
func checkComplete(calls []call) error {
	for _, op := range operations {
		if got := statuses(calls, op.name); got != op.statuses {
			return fmt.Errorf("%s was answered with the statuses %s, want %s", op.name, got, op.statuses)
		}
	}
	required := []call{{"createExport", "202", "every filter"}, {"listExports", "200", "pages"}}
	for _, format := range []string{"json", "csv", "markdown", "ndjson", "parquet"} {
		required = append(required, call{"createExport", "202", format}, call{"getExport", "200", format}, call{"downloadExport", "200", format})
	}
	for _, c := range required {
		if !slices.Contains(calls, c) {
			return fmt.Errorf("it did not make the call %s, %s, %s", c.operation, c.status, c.what)
		}
	}
	return nil
}

// statuses returns the distinct statuses of an operation's responses in ascending order.
func statuses(calls []call, operation string) string {
	var seen []string
	for _, c := range calls {
		if c.operation == operation {
			seen = append(seen, c.status)
		}
	}
	slices.Sort(seen)
	return strings.Join(slices.Compact(seen), " ")
}

func printTable(rows []row) {
	fmt.Println()
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	header := []string{"generator", "OpenAPI", "service"}
	for _, op := range operations {
		header = append(header, op.name)
	}
	fmt.Fprintln(w, strings.Join(append(header, "calls", ""), "\t"))
	for _, r := range rows {
		cells := []string{r.client.generator + " " + r.client.version, r.client.document, r.service}
		for _, op := range operations {
			cells = append(cells, statuses(r.calls, op.name))
		}
		fmt.Fprintln(w, strings.Join(append(cells, fmt.Sprint(len(r.calls)), "ok"), "\t"))
	}
	w.Flush()
}
