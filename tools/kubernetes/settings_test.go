package kubernetes

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// others are variables that other parts of the process read: the SDKs of Temporal and of the clouds, and Go.
var others = regexp.MustCompile(`^(TEMPORAL_[A-Z_]+|AWS_[A-Z_]+|GOMEMLIMIT|GOGC)$`)

// settings returns the environment variables of the configuration, and the commands that use each.
func settings(t *testing.T) map[string]string {
	t.Helper()
	source, err := os.ReadFile(filepath.Join(root, "internal/service/config/config.go"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, match := range regexp.MustCompile("`env:\"([A-Z_]+)[^`]* for:\"([a-z, ]+)\"").FindAllStringSubmatch(string(source), -1) {
		all[match[1]] = match[2]
	}
	if len(all) < 20 {
		t.Fatalf("config.go has %d settings", len(all))
	}
	return all
}

// defaultOf returns the default value of a setting.
func defaultOf(t *testing.T, name string) string {
	t.Helper()
	source, err := os.ReadFile(filepath.Join(root, "internal/service/config/config.go"))
	if err != nil {
		t.Fatal(err)
	}
	match := regexp.MustCompile(`env:"` + name + `" envDefault:"([^"]*)"`).FindStringSubmatch(string(source))
	if match == nil {
		t.Fatalf("config.go has no default for %s", name)
	}
	return match[1]
}

// settingOr returns the value of a setting in the ConfigMap memexport, or the default.
func settingOr(objects []runtime.Object, name, otherwise string) string {
	m := named(objects, func(m *corev1.ConfigMap) string { return m.Name }, "memexport")
	if value, ok := m.Data[name]; ok {
		return value
	}
	return otherwise
}

func TestEveryVariableIsASetting(t *testing.T) {
	known := settings(t)
	everyOverlay(t, func(t *testing.T, objects []runtime.Object) {
		for _, w := range memexport(objects) {
			command := w.pod.Spec.Containers[0].Args[0]
			names := variables(t, objects, w)
			for _, name := range names {
				used, ok := known[name]
				switch {
				case others.MatchString(name):
				case !ok:
					t.Errorf("%s sets %s, which memexport does not have", w.name, name)
				case strings.HasPrefix(name, "DATABASE_URL"):
				case command == "migrate" && !strings.Contains(used, command):
					t.Errorf("%s sets %s, which the command %s does not use", w.name, name, command)
				}
			}
			if command == "demo" || command == "migrate" {
				continue
			}
			for _, name := range []string{"BUCKET_URL", "TEMPORAL_ADDRESS"} {
				if !slices.Contains(names, name) {
					t.Errorf("%s does not set %s", w.name, name)
				}
			}
		}
	})
}

// variables returns the names of the variables of a workload. The test fails if a Secret is neither in the
// overlay nor among those that docs/deploying.md tells the reader to create.
func variables(t *testing.T, objects []runtime.Object, w workload) (names []string) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(root, "docs/deploying.md"))
	if err != nil {
		t.Fatal(err)
	}
	c := w.pod.Spec.Containers[0]
	for _, e := range c.Env {
		names = append(names, e.Name)
	}
	for _, from := range c.EnvFrom {
		if from.ConfigMapRef != nil {
			m := named(objects, func(m *corev1.ConfigMap) string { return m.Name }, from.ConfigMapRef.Name)
			if m == nil {
				t.Errorf("%s wants the ConfigMap %s", w.name, from.ConfigMapRef.Name)
				continue
			}
			for name := range m.Data {
				names = append(names, name)
			}
			continue
		}
		s := named(objects, func(s *corev1.Secret) string { return s.Name }, from.SecretRef.Name)
		if s == nil {
			if !strings.Contains(string(page), "create secret generic "+from.SecretRef.Name+" ") {
				t.Errorf("%s wants the Secret %s, which nothing makes", w.name, from.SecretRef.Name)
			}
			continue
		}
		for name := range s.Data {
			names = append(names, name)
		}
	}
	return names
}

func TestTheSecretsThatOperatorsCreateHaveSettings(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs/deploying.md"))
	if err != nil {
		t.Fatal(err)
	}
	known := settings(t)
	literals := regexp.MustCompile(`--from-literal=([A-Z_]+)=`).FindAllStringSubmatch(string(page), -1)
	if len(literals) < 4 {
		t.Fatalf("the page creates %d variables in Secrets", len(literals))
	}
	for _, match := range literals {
		if known[match[1]] == "" && !others.MatchString(match[1]) {
			t.Errorf("docs/deploying.md puts %s into a Secret, which memexport does not read", match[1])
		}
	}
}
