//go:build monitoring

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"memexport/internal/workshop/await"
	"memexport/internal/workshop/port"
	"memexport/internal/workshop/process"
)

const alertTests = "../deploy/prometheus/alerts_test.yml"

// prometheus is a running server that scrapes the processes of a test every second.
type prometheus struct {
	*client
	folder  string
	targets map[string]string // admin addresses by the names of processes
}

// programOf returns the path of a program of the Debian package prometheus.
func programOf(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is not on PATH: install Debian's package prometheus, or a release of Prometheus 2.42 or newer", name)
	}
	return path
}

// promtool runs a check, and fails the test with its output.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command(programOf(t, "promtool"), args...).CombinedOutput(); err != nil {
		t.Fatalf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// thresholds maps parts of the rules to their replacements. Each part compares a time with a number of seconds. The
// replacement has fewer seconds.
var thresholds = map[string]string{") > 900\n": ") > 20\n", ") > 3600\n": ") > 20\n", ") > 1200\n": ") > 20\n", ") > 10800\n": ") > 20\n"}

// shortened returns the rules with short times, so that a test can wait until they fire. Only ranges of days stay
// as they are. Nothing else is changed.
func shortened(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(alertRules)
	if err != nil {
		t.Fatal(err)
	}
	rules := string(text)
	for long, short := range thresholds {
		if strings.Count(rules, long) != 1 {
			t.Fatalf("the rules have the threshold %q %d times, want 1", long, strings.Count(rules, long))
		}
		rules = strings.ReplaceAll(rules, long, short)
	}
	rules = regexp.MustCompile(`(?m)^(        for:) .*$`).ReplaceAllString(rules, "$1 2s")
	rules = regexp.MustCompile(`\[\d+[mh]\]`).ReplaceAllString(rules, "["+window+"]")
	return regexp.MustCompile(`offset \d+[mh]`).ReplaceAllString(rules, "offset "+window)
}

func startPrometheus(t *testing.T, dir string) *prometheus {
	t.Helper()
	number, err := port.Restartable()
	if err != nil {
		t.Fatal(err)
	}
	p := &prometheus{client: newClient(fmt.Sprintf("http://127.0.0.1:%d", number), ""), folder: dir, targets: map[string]string{}}
	for name, text := range map[string]string{
		"rules.yml": shortened(t),
		"prometheus.yml": `
global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}
rule_files: [rules.yml]
scrape_configs:
  - job_name: memexport
    file_sd_configs: [{files: [targets.json], refresh_interval: 1s}]
`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p.writeTargets(t)
	promtool(t, "check", "rules", alertRules)
	promtool(t, "check", "config", filepath.Join(dir, "prometheus.yml"))
	promtool(t, "test", "rules", alertTests)
	server, err := process.Start(exec.Command(programOf(t, "prometheus"), "--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+strings.TrimPrefix(p.url, "http://")),
		process.Options{Log: filepath.Join(dir, "prometheus.log")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	await.True(t, time.Minute, "Prometheus is ready", func() bool {
		a, err := p.try(t.Context(), "GET", "/-/ready")
		return err == nil && a.status == 200
	})
	return p
}

// scrapes lets Prometheus scrape a process from now on.
func (p *prometheus) scrapes(t *testing.T, name string, c *command) {
	t.Helper()
	p.targets[name] = strings.TrimPrefix(adminURL(t, c), "http://")
	p.writeTargets(t)
}

// forget ends the scraping of a process.
func (p *prometheus) forget(t *testing.T, name string) {
	t.Helper()
	delete(p.targets, name)
	p.writeTargets(t)
}

func (p *prometheus) writeTargets(t *testing.T) {
	t.Helper()
	text, err := json.Marshal([]map[string]any{{"targets": slices.AppendSeq([]string{}, maps.Values(p.targets))}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(p.folder, "targets.json")
	if err = os.WriteFile(path+".new", text, 0o644); err == nil {
		err = os.Rename(path+".new", path) // Prometheus must not read a half-written file
	}
	if err != nil {
		t.Fatal(err)
	}
}

// ask calls the API of Prometheus and decodes its data.
func (p *prometheus) ask(t *testing.T, path string, parameters url.Values, data any) {
	t.Helper()
	a := p.do(t, "GET", path+"?"+parameters.Encode())
	var envelope struct {
		Error string
		Data  json.RawMessage
	}
	err := json.Unmarshal(a.body, &envelope)
	if err == nil && a.status == 200 {
		err = json.Unmarshal(envelope.Data, data)
	}
	if err != nil || a.status != 200 {
		t.Fatalf("Prometheus answers %s %v with %d, %v: %s", path, parameters, a.status, err, envelope.Error)
	}
}

// series is the answer to a query: the values over time of one set of labels.
type series struct {
	Metric map[string]string
	Value  [2]any   // of an instant query
	Values [][2]any // of a range query
}

// query evaluates an expression now.
func (p *prometheus) query(t *testing.T, expr string) []series {
	t.Helper()
	var data struct{ Result []series }
	p.ask(t, "/api/v1/query", url.Values{"query": {expr}}, &data)
	return data.Result
}

// queryRange evaluates an expression every second since a time.
func (p *prometheus) queryRange(t *testing.T, expr string, since time.Time) []series {
	t.Helper()
	var data struct{ Result []series }
	p.ask(t, "/api/v1/query_range", url.Values{"query": {expr}, "start": {since.Format(time.RFC3339)}, "end": {time.Now().Format(time.RFC3339)}, "step": {"1"}}, &data)
	return data.Result
}

// firing returns the names of the alerts that fire.
func (p *prometheus) firing(t *testing.T) []string {
	t.Helper()
	var data struct {
		Alerts []struct {
			State  string
			Labels map[string]string
		}
	}
	p.ask(t, "/api/v1/alerts", nil, &data)
	var names []string
	for _, a := range data.Alerts {
		if a.State == "firing" && !slices.Contains(names, a.Labels["alertname"]) {
			names = append(names, a.Labels["alertname"])
		}
	}
	slices.Sort(names)
	return names
}

// alert is an alert in the shortened rules.
type alert struct{ Name, Query string }

func (p *prometheus) alerts(t *testing.T) (all []alert) {
	t.Helper()
	var data struct{ Groups []struct{ Rules []alert } }
	p.ask(t, "/api/v1/rules", url.Values{"type": {"alert"}}, &data)
	for _, g := range data.Groups {
		all = append(all, g.Rules...)
	}
	return all
}
