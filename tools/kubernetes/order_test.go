package kubernetes

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
)

var (
	applies = regexp.MustCompile(`^kubectl apply -k overlays/mine(?: --selector '([^']+)')?$`)
	waits   = regexp.MustCompile(`^kubectl -n memexport (?:wait --for=condition=complete --timeout=15m job|rollout status deployment)/(\S+)$`)
	deletes = regexp.MustCompile(`^kubectl -n memexport delete job memexport-migrate --ignore-not-found$`)
)

// commands returns the commands of docs/deploying.md that install and upgrade memexport.
func commands(t *testing.T) (all []string) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(root, "docs/deploying.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		if !strings.Contains(block[1], "kubectl apply -k overlays/mine") {
			continue
		}
		if all != nil {
			t.Error("docs/deploying.md has the commands twice")
		}
		for line := range strings.Lines(block[1]) {
			line, _, _ = strings.Cut(line, " #")
			all = append(all, strings.TrimSpace(line))
		}
	}
	for i, line := range all {
		command, ok := strings.CutSuffix(line, " &&")
		if ok != (i < len(all)-1) {
			t.Errorf("after %q, the next command runs even if this one has failed", line)
		}
		all[i] = command
	}
	return all
}

// An old worker may not be able to run what a new API starts, so the order is migrate, worker, api. The commands must
// also work for the first installation, when the cluster has only the Secrets that operators create.
func TestTheDocumentedCommandsKeepTheOrder(t *testing.T) {
	everyOverlay(t, func(t *testing.T, objects []runtime.Object) {
		applied := map[runtime.Object]bool{}
		waited := map[string]bool{}
		order := map[string]string{"memexport-worker": "memexport-migrate", "memexport-api": "memexport-worker"}
		for _, command := range commands(t) {
			if match := waits.FindStringSubmatch(command); match != nil {
				waited[match[1]] = true
				continue
			}
			match := applies.FindStringSubmatch(command)
			if match == nil {
				if !deletes.MatchString(command) {
					t.Errorf("this test does not know the command %q", command)
				}
				continue
			}
			selector, err := labels.Parse(match[1])
			if err != nil {
				t.Fatal(err)
			}
			var step []runtime.Object
			for _, object := range objects {
				if !applied[object] && selector.Matches(labels.Set(metaOf(t, object).GetLabels())) {
					step = append(step, object)
					applied[object] = true
				}
			}
			for _, w := range workloads(step) {
				if first := order[w.name]; first != "" && !waited[first] {
					t.Errorf("%q applies %s, and %s may not be ready", command, w.name, first)
				}
				for _, lacks := range missing(t, objects, applied, w) {
					t.Errorf("%q applies %s, but not %s", command, w.name, lacks)
				}
			}
		}
		for _, object := range objects {
			if !applied[object] {
				t.Errorf("no command applies %s", title(t, object))
			}
		}
	})
}

// missing returns the objects that the pods of a workload need and that are not applied yet. It leaves out Secrets that
// are not in the overlay, because operators create them.
func missing(t *testing.T, objects []runtime.Object, applied map[runtime.Object]bool, w workload) (names []string) {
	t.Helper()
	needs, found := references(w.pod.Spec), map[string]bool{}
	for _, object := range objects {
		name := title(t, object)
		policy, ok := object.(*networkingv1.NetworkPolicy)
		if ok && selects(t, &policy.Spec.PodSelector, w.pod.Labels) {
			needs[name] = true
		}
		found[name] = true
		if needs[name] && !applied[object] {
			names = append(names, name)
		}
	}
	for name := range needs {
		if !found[name] && !strings.HasPrefix(name, "Secret ") {
			names = append(names, name)
		}
	}
	return names
}

// references returns the objects without which no pod can be created or started.
func references(pod corev1.PodSpec) map[string]bool {
	needs := map[string]bool{}
	add := func(kind, name string) {
		if name != "" {
			needs[kind+" "+name] = true
		}
	}
	add("ServiceAccount", pod.ServiceAccountName)
	for _, c := range append(pod.InitContainers, pod.Containers...) {
		for _, from := range c.EnvFrom {
			if from.ConfigMapRef != nil {
				add("ConfigMap", from.ConfigMapRef.Name)
			}
			if from.SecretRef != nil {
				add("Secret", from.SecretRef.Name)
			}
		}
		for _, e := range c.Env {
			if e.ValueFrom != nil && e.ValueFrom.ConfigMapKeyRef != nil {
				add("ConfigMap", e.ValueFrom.ConfigMapKeyRef.Name)
			}
			if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
				add("Secret", e.ValueFrom.SecretKeyRef.Name)
			}
		}
	}
	for _, v := range pod.Volumes {
		if v.ConfigMap != nil {
			add("ConfigMap", v.ConfigMap.Name)
		}
		if v.Secret != nil {
			add("Secret", v.Secret.SecretName)
		}
	}
	return needs
}

// title returns the kind and the name of an object.
func title(t *testing.T, object runtime.Object) string {
	t.Helper()
	return object.GetObjectKind().GroupVersionKind().Kind + " " + metaOf(t, object).GetName()
}

func metaOf(t *testing.T, object runtime.Object) metav1.Object {
	t.Helper()
	m, err := meta.Accessor(object)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
