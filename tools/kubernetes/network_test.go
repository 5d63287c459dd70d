package kubernetes

import (
	"net/netip"
	"slices"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
)

// server is an address and a TCP port that a pod connects to.
type server struct{ address, port string }

var (
	// The default ports of what docs/deploying.md names. The address stands for any.
	ordinary = []server{{"10.1.2.3", "53"}, {"10.1.2.3", "443"}, {"10.1.2.3", "5432"}, {"10.1.2.3", "6432"}, {"10.1.2.3", "7233"}, {"10.1.2.3", "4317"}, {"10.1.2.3", "4318"}}
	// Where the SDKs of the clouds get the credentials that docs/stores.md names.
	metadata = []server{{"169.254.169.254", "80"}, {"169.254.169.254", "8080"}, {"169.254.169.252", "987"}, {"169.254.169.252", "988"}, {"169.254.170.23", "80"}}
)

func TestPodsReachTheServersThatTheDocsName(t *testing.T) {
	everyOverlay(t, func(t *testing.T, objects []runtime.Object) {
		for _, w := range memexport(objects) {
			if w.name == "demo" { // it makes memories, and no policy applies to it
				continue
			}
			for _, s := range ordinary {
				if !reaches(t, objects, w.pod.Labels, s) {
					t.Errorf("%s does not reach %v", w.name, s)
				}
			}
			// The metadata server may give the credentials of the node.
			for _, s := range slices.Concat(metadata, []server{{"10.1.2.3", "80"}}) {
				if reaches(t, objects, w.pod.Labels, s) {
					t.Errorf("%s reaches %v", w.name, s)
				}
			}
		}
	})
}

func TestTheComponentForCredentialsOpensTheMetadataServers(t *testing.T) {
	for _, overlay := range overlays {
		objects := build(t, overlay, "cloud-credentials")
		for _, name := range []string{"memexport-api", "memexport-worker", "memexport-migrate"} {
			i := slices.IndexFunc(memexport(objects), func(w workload) bool { return w.name == name })
			if i < 0 {
				t.Fatalf("%s has no %s", overlay, name)
			}
			pod := memexport(objects)[i].pod
			for _, s := range metadata {
				if want := name != "memexport-migrate"; reaches(t, objects, pod.Labels, s) != want {
					t.Errorf("%s: %s reaches %v: %t, want %t", overlay, name, s, !want, want)
				}
			}
			if reaches(t, objects, pod.Labels, server{"169.254.1.1", "80"}) || reaches(t, objects, pod.Labels, server{"10.1.2.3", "80"}) {
				t.Errorf("%s: %s reaches port 80 of other servers", overlay, name)
			}
		}
	}
}

// reaches reports whether the NetworkPolicies let a pod with these labels connect to a server outside of the cluster.
func reaches(t *testing.T, objects []runtime.Object, pod labels.Set, to server) bool {
	t.Helper()
	isolated := false
	for _, object := range objects {
		policy, ok := object.(*networkingv1.NetworkPolicy)
		if !ok || !slices.Contains(policy.Spec.PolicyTypes, networkingv1.PolicyTypeEgress) || !selects(t, &policy.Spec.PodSelector, pod) {
			continue
		}
		isolated = true
		for _, rule := range policy.Spec.Egress {
			port := len(rule.Ports) == 0 || slices.ContainsFunc(rule.Ports, func(p networkingv1.NetworkPolicyPort) bool {
				return string(*p.Protocol) == "TCP" && p.Port.String() == to.port
			})
			address := len(rule.To) == 0 || slices.ContainsFunc(rule.To, func(p networkingv1.NetworkPolicyPeer) bool {
				return p.IPBlock != nil && netip.MustParsePrefix(p.IPBlock.CIDR).Contains(netip.MustParseAddr(to.address))
			})
			if port && address {
				return true
			}
		}
	}
	return !isolated
}
