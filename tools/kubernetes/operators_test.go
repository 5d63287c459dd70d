package kubernetes

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// The commands of docs/operations.md must name what the manifests and the image have.
func TestTheCommandsForOperatorsNameWhatExists(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs/operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	image, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	exists := map[string]bool{}
	for _, match := range regexp.MustCompile(`ENTRYPOINT \["(.+)"\]`).FindAllStringSubmatch(string(image), -1) {
		exists[" -- "+match[1]] = true
	}
	for _, w := range workloads(build(t, "production")) {
		exists["-n "+w.meta.Namespace] = true
		for name := range references(w.pod.Spec) {
			exists[strings.Replace(name, "Secret ", "secret generic ", 1)] = true
		}
		if w.kind != "Deployment" {
			continue
		}
		exists["deploy/"+w.name], exists["deployment/"+w.name] = true, true
		for _, port := range w.pod.Spec.Containers[0].Ports {
			if port.Name == "admin" {
				exists["port-forward deploy/"+w.name+" "+strconv.Itoa(int(port.ContainerPort))] = true
			}
		}
	}
	named := regexp.MustCompile(`port-forward \S+ \d+|-n [a-z-]+| -- /\S+|\bdeploy(?:ment)?/[a-z-]+|secret generic [a-z-]+`)
	commands := 0
	for line := range strings.Lines(string(page)) {
		if !strings.HasPrefix(line, "kubectl ") {
			continue
		}
		commands++
		for _, name := range named.FindAllString(line, -1) {
			if !exists[name] {
				t.Errorf("docs/operations.md has %q, which the manifests and the image do not have: %s", name, line)
			}
		}
	}
	if commands < 4 {
		t.Errorf("docs/operations.md has %d commands", commands)
	}
}
