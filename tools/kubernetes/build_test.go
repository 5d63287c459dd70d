// Package kubernetes checks deploy/kubernetes without a cluster: it builds the overlays as kubectl does, and
// decodes every object into the types of its API.
package kubernetes

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

const root = "../.."

var overlays = []string{"demo", "production"}

// decoder refuses fields that do not exist, fields that are given twice, and kinds that are not in the list.
func decoder(t *testing.T) runtime.Decoder {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{appsv1.AddToScheme, autoscalingv2.AddToScheme, batchv1.AddToScheme,
		corev1.AddToScheme, networkingv1.AddToScheme, policyv1.AddToScheme, monitoringv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
}

// build returns the objects of an overlay, to which it adds components. It works on a copy of the files, in which it
// runs the overlay's script passwords.
func build(t *testing.T, overlay string, components ...string) []runtime.Object {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"kubernetes", "postgres"} {
		if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join(root, "deploy", name))); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "kubernetes", "overlays", overlay)
	if overlay == "demo" {
		if err := os.RemoveAll(filepath.Join(path, "secrets")); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(filepath.Join(path, "passwords")).CombinedOutput(); err != nil {
			t.Fatalf("passwords: %v\n%s", err, out)
		}
	}
	if len(components) > 0 {
		text := "resources: [../" + overlay + "]\ncomponents:\n"
		for _, name := range components {
			text += "  - ../../components/" + name + "\n"
		}
		path = filepath.Join(dir, "kubernetes", "overlays", "extended")
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(path, "kustomization.yaml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), path)
	if err != nil {
		t.Fatalf("the overlay %s: %v", overlay, err)
	}
	decode := decoder(t)
	var objects []runtime.Object
	for _, resource := range resources.Resources() {
		text, err := resource.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		object, _, err := decode.Decode(text, nil, nil)
		if err != nil {
			t.Errorf("the overlay %s: %v\n%s", overlay, err, text)
			continue
		}
		objects = append(objects, object)
	}
	if len(objects) < 10 {
		t.Fatalf("the overlay %s has %d objects", overlay, len(objects))
	}
	return objects
}

// everyOverlay runs a test for each overlay.
func everyOverlay(t *testing.T, test func(*testing.T, []runtime.Object)) {
	for _, overlay := range overlays {
		t.Run(overlay, func(t *testing.T) { test(t, build(t, overlay)) })
	}
}

// workload is an object that runs pods, such as a Deployment.
type workload struct {
	kind, name string
	meta       metav1.ObjectMeta
	selector   *metav1.LabelSelector
	replicas   *int32
	pod        corev1.PodTemplateSpec
}

func workloads(objects []runtime.Object) (all []workload) {
	for _, object := range objects {
		switch o := object.(type) {
		case *appsv1.Deployment:
			all = append(all, workload{"Deployment", o.Name, o.ObjectMeta, o.Spec.Selector, o.Spec.Replicas, o.Spec.Template})
		case *appsv1.StatefulSet:
			all = append(all, workload{"StatefulSet", o.Name, o.ObjectMeta, o.Spec.Selector, o.Spec.Replicas, o.Spec.Template})
		case *batchv1.Job:
			all = append(all, workload{"Job", o.Name, o.ObjectMeta, o.Spec.Selector, nil, o.Spec.Template})
		}
	}
	return all
}

// memexport returns the workloads that run memexport.
func memexport(objects []runtime.Object) (ours []workload) {
	for _, w := range workloads(objects) {
		if strings.Contains(w.pod.Spec.Containers[0].Image, "memexport:") {
			ours = append(ours, w)
		}
	}
	return ours
}

func named[T any](objects []runtime.Object, name func(*T) string, want string) *T {
	for _, object := range objects {
		if o, ok := any(object).(*T); ok && (name(o) == want || strings.HasPrefix(name(o), want+"-")) {
			return o
		}
	}
	return nil
}
