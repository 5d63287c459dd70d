package kubernetes

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
)

func TestPodsOfMemexportAreRestricted(t *testing.T) {
	everyOverlay(t, func(t *testing.T, objects []runtime.Object) {
		ours := memexport(objects)
		if len(ours) < 3 {
			t.Fatalf("%d workloads run memexport", len(ours))
		}
		for _, w := range ours {
			pod, c := w.pod.Spec, w.pod.Spec.Containers[0]
			if pod.SecurityContext == nil || !*pod.SecurityContext.RunAsNonRoot || pod.SecurityContext.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
				t.Errorf("%s runs as root or without seccomp", w.name)
			}
			if c.SecurityContext == nil || *c.SecurityContext.AllowPrivilegeEscalation || !*c.SecurityContext.ReadOnlyRootFilesystem ||
				!slices.Equal(c.SecurityContext.Capabilities.Drop, []corev1.Capability{"ALL"}) {
				t.Errorf("%s may write to its root or has capabilities", w.name)
			}
			if token := pod.AutomountServiceAccountToken; (token == nil || *token) && !accountWithoutToken(objects, pod.ServiceAccountName) {
				t.Errorf("%s gets a token for the API of Kubernetes", w.name)
			}
		}
	})
}

// accountWithoutToken reports whether the service account with this name gives its pods no token.
func accountWithoutToken(objects []runtime.Object, name string) bool {
	for _, object := range objects {
		if a, ok := object.(*corev1.ServiceAccount); ok && a.Name == name {
			return a.AutomountServiceAccountToken != nil && !*a.AutomountServiceAccountToken
		}
	}
	return false
}

func TestGoCollectsGarbageBeforeTheLimitOfMemory(t *testing.T) {
	everyOverlay(t, func(t *testing.T, objects []runtime.Object) {
		for _, w := range memexport(objects) {
			c := w.pod.Spec.Containers[0]
			limit := c.Resources.Limits.Memory().Value()
			if limit == 0 || c.Resources.Requests.Memory().Value() > limit || c.Resources.Requests.Cpu().IsZero() {
				t.Errorf("%s has the resources %+v", w.name, c.Resources)
			}
			i := slices.IndexFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == "GOMEMLIMIT" })
			if i < 0 {
				if c.Args[0] == "api" { // the worker sets a limit by itself, and the Jobs need little
					t.Errorf("%s has no GOMEMLIMIT", w.name)
				}
				continue
			}
			if c.Args[0] == "worker" {
				t.Errorf("%s has a GOMEMLIMIT, which turns its own limit off", w.name)
			}
			soft := resource.MustParse(strings.TrimSuffix(c.Env[i].Value, "B")) // Go writes 200MiB, Kubernetes 200Mi
			of := func(name string) int64 {
				return number(t, envOr(c, name, settingOr(objects, name, defaultOf(t, name))))
			}
			connections, downloads := of("API_CONNECTIONS"), of("API_DOWNLOADS")
			// docs/limits.md explains these sizes. Clients without a key may open all connections and not read.
			if least := 64<<20 + connections*30<<10 + min(connections, downloads)*70<<10; soft.Value() < least {
				t.Errorf("%s has a GOMEMLIMIT of %d bytes, and %d connections with %d downloads need %d", w.name, soft.Value(), connections, downloads, least)
			}
			if share := float64(soft.Value()+connections*240<<10) / float64(limit); share < 0.6 || share > 0.9 {
				t.Errorf("%s has a GOMEMLIMIT and connections that take %.0f %% of its limit of memory, want 60 to 90", w.name, 100*share)
			}
		}
	})
}

// An API that stops cuts its downloads, and a worker hands its work over, so autoscalers must not add and remove pods
// because of little work.
func TestAutoscalersAddPodsForRealWorkAndRemoveThemSlowly(t *testing.T) {
	objects := build(t, "production")
	scalers := 0
	for _, object := range objects {
		o, ok := object.(*autoscalingv2.HorizontalPodAutoscaler)
		if !ok {
			continue
		}
		scalers++
		target := named(objects, func(d *appsv1.Deployment) string { return d.Name }, o.Spec.ScaleTargetRef.Name)
		request := target.Spec.Template.Spec.Containers[0].Resources.Requests.Cpu().MilliValue()
		if at := request * int64(*o.Spec.Metrics[0].Resource.Target.AverageUtilization) / 100; at < 300 {
			t.Errorf("the autoscaler %s adds a pod above %d millicores", o.Name, at)
		}
		if o.Spec.Behavior == nil || o.Spec.Behavior.ScaleDown == nil {
			t.Errorf("the autoscaler %s removes pods as fast as it can", o.Name)
			continue
		}
		down := o.Spec.Behavior.ScaleDown
		if down.StabilizationWindowSeconds == nil || *down.StabilizationWindowSeconds < 600 || len(down.Policies) != 1 ||
			down.Policies[0].Type != autoscalingv2.PodsScalingPolicy || down.Policies[0].Value != 1 || down.Policies[0].PeriodSeconds < 120 {
			t.Errorf("the autoscaler %s scales down by %+v", o.Name, down)
		}
	}
	if scalers != 2 {
		t.Errorf("%d autoscalers, want those of api and worker", scalers)
	}
}

func TestPostgresAcceptsTheConnectionsOfAllProcesses(t *testing.T) {
	objects := build(t, "demo")
	concurrency := number(t, settingOr(objects, "WORKER_CONCURRENCY", defaultOf(t, "WORKER_CONCURRENCY")))
	// docs/postgres.md has these numbers. The worker's memories are in the same Postgres.
	of := map[string]int64{"api": concurrency + 16, "worker": 3*concurrency + 16, "migrate": 4, "demo": 4}
	need := int64(3) // those that Postgres keeps for superusers
	for _, w := range memexport(objects) {
		pods := int64(1)
		if w.replicas != nil {
			pods = int64(*w.replicas) + 1 // one more while a Deployment rolls out
		}
		need += pods * of[w.pod.Spec.Containers[0].Args[0]]
	}
	postgres := named(objects, func(s *appsv1.StatefulSet) string { return s.Name }, "postgres").Spec.Template.Spec.Containers[0]
	match := regexp.MustCompile(`\bmax_connections=(\d+)`).FindStringSubmatch(strings.Join(postgres.Args, " "))
	if match == nil {
		t.Fatalf("Postgres has the default of 100 connections, and the processes may open %d", need)
	}
	if number(t, match[1]) < need {
		t.Errorf("Postgres accepts %s connections, and the processes may open %d", match[1], need)
	}
}

// envOr returns the value of a variable of a container, or otherwise.
func envOr(c corev1.Container, name, otherwise string) string {
	for _, e := range c.Env {
		if e.Name == name {
			return e.Value
		}
	}
	return otherwise
}

func number(t *testing.T, text string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestProcessesHaveTimeToStopAndAreProbed(t *testing.T) {
	everyOverlay(t, func(t *testing.T, objects []runtime.Object) {
		stop, err := time.ParseDuration(settingOr(objects, "STOP_TIMEOUT", defaultOf(t, "STOP_TIMEOUT")))
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range memexport(objects) {
			if w.kind == "Job" {
				continue
			}
			grace := time.Duration(*w.pod.Spec.TerminationGracePeriodSeconds) * time.Second
			if grace < stop+3*time.Second {
				t.Errorf("%s is killed after %s, and STOP_TIMEOUT is %s", w.name, grace, stop)
			}
			c := w.pod.Spec.Containers[0]
			for path, probe := range map[string]*corev1.Probe{"/healthz": c.LivenessProbe, "/readyz": c.ReadinessProbe} {
				// The admin port answers within 4 seconds.
				if probe == nil || probe.HTTPGet.Path != path || probe.HTTPGet.Port.StrVal != "admin" || probe.TimeoutSeconds < 5 {
					t.Errorf("%s has the probe %+v for %s", w.name, probe, path)
				}
			}
			// A worker starts only when Temporal answers. A startup probe would kill it again and again until then.
			if c.StartupProbe != nil {
				t.Errorf("%s has the startup probe %+v", w.name, c.StartupProbe)
			}
			if !slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.Name == "admin" && p.ContainerPort == 9090 }) {
				t.Errorf("%s has no port named admin", w.name)
			}
		}
	})
}

// While Postgres or Temporal is away, no worker is ready. Without the policy, no node could be drained then.
func TestPodsThatAreNotReadyMayBeEvicted(t *testing.T) {
	everyOverlay(t, func(t *testing.T, objects []runtime.Object) {
		budgets := 0
		for _, object := range objects {
			o, ok := object.(*policyv1.PodDisruptionBudget)
			if !ok {
				continue
			}
			budgets++
			if policy := o.Spec.UnhealthyPodEvictionPolicy; policy == nil || *policy != policyv1.AlwaysAllow {
				t.Errorf("the PodDisruptionBudget %s keeps pods that are not ready from being evicted", o.Name)
			}
		}
		if budgets != 2 {
			t.Errorf("%d PodDisruptionBudgets, want those of api and worker", budgets)
		}
	})
}

func TestSelectorsFindTheirPods(t *testing.T) {
	everyOverlay(t, func(t *testing.T, objects []runtime.Object) {
		pods := map[string]labels.Set{}
		for _, w := range workloads(objects) {
			pods[w.name] = w.pod.Labels
			if w.selector != nil && !selects(t, w.selector, w.pod.Labels) {
				t.Errorf("%s does not select its own pods", w.name)
			}
			for _, c := range w.pod.Spec.TopologySpreadConstraints {
				if !selects(t, c.LabelSelector, w.pod.Labels) {
					t.Errorf("%s spreads other pods", w.name)
				}
			}
		}
		for _, object := range objects {
			switch o := object.(type) {
			case *corev1.Service:
				if !labels.SelectorFromSet(o.Spec.Selector).Matches(pods[o.Name]) {
					t.Errorf("the Service %s selects %v", o.Name, o.Spec.Selector)
				}
			case *policyv1.PodDisruptionBudget:
				if !selects(t, o.Spec.Selector, pods[o.Name]) {
					t.Errorf("the PodDisruptionBudget %s selects %v", o.Name, o.Spec.Selector)
				}
			case *autoscalingv2.HorizontalPodAutoscaler:
				target := named(objects, func(d *appsv1.Deployment) string { return d.Name }, o.Spec.ScaleTargetRef.Name)
				if target == nil || target.Spec.Replicas != nil {
					t.Errorf("the autoscaler %s has no Deployment without replicas to scale", o.Name)
				}
			}
		}
	})
}

func selects(t *testing.T, selector *metav1.LabelSelector, set labels.Set) bool {
	t.Helper()
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	return !s.Empty() && s.Matches(set)
}

func TestEveryImageHasAFixedVersion(t *testing.T) {
	compose, err := os.ReadFile(filepath.Join(root, "docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	fixed := regexp.MustCompile(`:(dev$|v?[0-9]+\.[0-9]+)|@sha256:`)
	everyOverlay(t, func(t *testing.T, objects []runtime.Object) {
		for _, w := range workloads(objects) {
			image := w.pod.Spec.Containers[0].Image
			if !fixed.MatchString(image) {
				t.Errorf("%s has the image %s", w.name, image)
			}
			if !strings.Contains(image, "memexport:") && !strings.Contains(string(compose), "image: "+image+"\n") {
				t.Errorf("%s has the image %s, and docker-compose.yml another", w.name, image)
			}
		}
	})
}

func TestTheSecretsOfAllProcessesDiffer(t *testing.T) {
	seen := map[string]string{}
	for _, object := range build(t, "demo") {
		if s, ok := object.(*corev1.Secret); ok {
			if url := string(s.Data["DATABASE_URL"]); url != "" {
				if other := seen[url]; other != "" || strings.Contains(url, "//postgres:") {
					t.Errorf("the Secret %s has the database URL of %s%s", s.Name, other, url)
				}
				seen[url] = s.Name
			}
		}
	}
	if len(seen) != 4 {
		t.Errorf("%d Secrets have a database URL, want those of migrate, api, worker and demo", len(seen))
	}
}
