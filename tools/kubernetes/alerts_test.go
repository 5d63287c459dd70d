package kubernetes

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
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
	if groups := decodeRules(t, got); len(groups) < 4 {
		t.Errorf("%s has %+v", path, groups)
	}
}

func decodeRules(t *testing.T, text []byte) []monitoringv1.RuleGroup {
	t.Helper()
	object, _, err := decoder(t).Decode(text, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	rule, ok := object.(*monitoringv1.PrometheusRule)
	if !ok {
		t.Fatalf("%T is not a PrometheusRule", object)
	}
	return rule.Spec.Groups
}

var (
	metricSelector = regexp.MustCompile(`\b(?:(?:memexport|temporal|http|db|process)_\w+|up)\b(\{[^}]*\})?`)
	aggregation    = regexp.MustCompile(`\b(?:sum|max|min|count|group)\b(?: by \(([^)]*)\))?`)
)

// An alert about one deployment must neither be hidden nor caused by another one in the same Prometheus.
func TestEveryAlertIsAboutOneDeployment(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "deploy", "kubernetes", "components", "alerts", "prometheus-rule.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range decodeRules(t, text) {
		for _, rule := range group.Rules {
			expr := rule.Expr.String()
			for _, match := range metricSelector.FindAllStringSubmatch(expr, -1) {
				if !strings.HasPrefix(match[1], `{job=~"(.+/)?memexport"`) {
					t.Errorf("%s%s selects %s of every job", rule.Alert, rule.Record, match[0])
				}
			}
			for _, match := range aggregation.FindAllStringSubmatch(expr, -1) {
				if labels := match[1] + ","; !strings.HasPrefix(labels, "job,") {
					t.Errorf("%s%s adds up several jobs: %s", rule.Alert, rule.Record, match[0])
				}
			}
			if strings.Contains(expr, "absent(") {
				t.Errorf("%s%s is silent as long as one deployment works: use memexport:deployments", rule.Alert, rule.Record)
			}
			if summary := rule.Annotations["summary"]; rule.Alert != "" && !strings.HasPrefix(summary, "{{ $labels.job }}: ") {
				t.Errorf("the summary of %s does not begin with the job: %s", rule.Alert, summary)
			}
		}
	}
}
