package kubernetes

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
)

var update = flag.Bool("update", false, "rewrite the PrometheusRule")

const ruleHead = `# The rules of deploy/prometheus/alerts.yml. Change them there, and run "make generate".
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: memexport
spec:
`

func TestThePrometheusRuleHasTheAlerts(t *testing.T) {
	alerts, err := os.ReadFile(filepath.Join(root, "deploy", "prometheus", "alerts.yml"))
	if err != nil {
		t.Fatal(err)
	}
	_, groups, found := strings.Cut(string(alerts), "\ngroups:\n")
	if !found {
		t.Fatal("deploy/prometheus/alerts.yml has no groups")
	}
	var want strings.Builder
	want.WriteString(ruleHead)
	for line := range strings.Lines("groups:\n" + groups) {
		if line != "\n" {
			line = "  " + line
		}
		want.WriteString(line)
	}
	path := filepath.Join(root, "deploy", "kubernetes", "components", "alerts", "prometheus-rule.yaml")
	if *update {
		if err := os.WriteFile(path, []byte(want.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want.String() {
		t.Fatalf("%s differs from deploy/prometheus/alerts.yml, %v: run `make generate`", path, err)
	}
	object, _, err := decoder(t).Decode(got, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if rule, ok := object.(*monitoringv1.PrometheusRule); !ok || len(rule.Spec.Groups) < 4 {
		t.Errorf("%s has %+v", path, object)
	}
}
