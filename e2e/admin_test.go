package e2e

import (
	"encoding/json"
	"net"
	"testing"
)

// health is the answer of an admin port to /readyz.
type health struct {
	Status  string
	Problem string
	Version string
	Parts   map[string]struct {
		Ready   bool
		Problem string
	}
}

// readiness asks an admin port whether its process is ready.
func readiness(t *testing.T, url string) (status int, h health) {
	t.Helper()
	a := newClient(url, "").do(t, "GET", "/readyz")
	if err := json.Unmarshal(a.body, &h); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	return a.status, h
}

func TestTheAdminPortOfDevAnswersForBothParts(t *testing.T) {
	s := sharedStack(t)
	status, h := readiness(t, s.admin)
	if status != 200 || h.Status != "ready" || h.Version == "" || len(h.Parts) != 2 || !h.Parts["api"].Ready || !h.Parts["worker"].Ready {
		t.Errorf("/readyz answers %d, %+v", status, h)
	}
	newClient(s.admin, "").do(t, "GET", "/healthz").want(t, 200)
	newClient(s.admin, s.key).do(t, "GET", "/v1/exports").want(t, 404)
	newClient(s.url, s.key).do(t, "GET", "/metrics").want(t, 404)
}

func TestATakenAdminPortIsNamed(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	address := taken.Addr().String()
	env := []string{"DATABASE_URL=postgres://127.0.0.1:1/x", "BUCKET_URL=file://" + t.TempDir(), "ADMIN_ADDR=" + address}
	for _, command := range []string{"api", "worker"} {
		refuses(t, env, []string{command}, "ADMIN_ADDR", address, "off")
	}
}
