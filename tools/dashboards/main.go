// Command dashboards writes the dashboards in deploy/grafana. "make generate" runs it.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	out := flag.String("out", "deploy/grafana", "the folder to write to")
	flag.Parse()
	for _, d := range []dashboard{overview, worker, api} {
		text, err := d.marshal()
		if err == nil {
			err = os.WriteFile(filepath.Join(*out, d.uid+".json"), text, 0o644)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "dashboards:", err)
			os.Exit(1)
		}
	}
}
