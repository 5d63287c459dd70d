package metrics_test

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"memexport/internal/service/metrics"
)

var update = flag.Bool("update", false, "write the tables in docs/metrics.md anew")

const (
	documentPath = "../../../docs/metrics.md"
	begin        = "<!-- The table is generated from internal/service/metrics/declared.go by \"make generate\". -->\n"
	end          = "<!-- End of the generated table. -->\n"
)

// table returns the table of all metrics.
func table() string {
	var b strings.Builder
	b.WriteString("| metric | type | process | labels | meaning |\n| --- | --- | --- | --- | --- |\n")
	sorted := slices.SortedFunc(slices.Values(metrics.All), func(a, b metrics.Metric) int {
		return cmp.Or(strings.Compare(string(a.Process), string(b.Process)), strings.Compare(a.Name, b.Name))
	})
	for _, m := range sorted {
		var labels []string
		for _, l := range m.Labels {
			labels = append(labels, fmt.Sprintf("`%s`: %s", l.Name, strings.Join(l.Values, ", ")))
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", m.Name, m.Kind, m.Process, strings.Join(labels, "; "), m.Help)
	}
	return b.String()
}

func TestTheTableInTheDocumentIsCurrent(t *testing.T) {
	text, err := os.ReadFile(documentPath)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), begin)
	_, after, foundEnd := strings.Cut(rest, end)
	if !found || !foundEnd {
		t.Fatal("docs/metrics.md lacks the comments around the table")
	}
	want := before + begin + table() + end + after
	if *update {
		if err := os.WriteFile(documentPath, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(text) {
		t.Error("the table in docs/metrics.md differs from the code: run `make generate`")
	}
}

func TestEveryNameFollowsTheConventionsOfPrometheus(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range metrics.All {
		if seen[m.Name] {
			t.Errorf("%s is declared twice", m.Name)
		}
		seen[m.Name] = true
		if !strings.HasPrefix(m.Name, "memexport_") || strings.HasSuffix(m.Name, "_total") != (m.Kind == metrics.CounterKind) {
			t.Errorf("the name of the %s %s does not follow the conventions", m.Kind, m.Name)
		}
		if !strings.HasSuffix(m.Help, ".") {
			t.Errorf("the meaning of %s is not a sentence: %q", m.Name, m.Help)
		}
	}
}
