package api_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"memexport/internal/service/apikey"
)

// TestEveryRouteAnswersEveryKeyAndIDAsItMust tries every route with every credential and every kind of
// id. It also checks that differences between answers do not reveal anything that the caller must not
// know.
func TestEveryRouteAnswersEveryKeyAndIDAsItMust(t *testing.T) {
	t.Parallel()
	s := newService(t)
	other := uuid.NewString()
	revoked, key, err := s.keys.Create(t.Context(), s.workspace, "test", apikey.TestPrefix, apikey.Permissions)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.keys.Revoke(t.Context(), key.ID); err != nil {
		t.Fatal(err)
	}
	unknown := revoked[:len(revoked)-8] + "AAAAAAAA"
	credentials := []struct {
		name, secret string
		permissions  []apikey.Permission // nil if the key is refused
	}{
		{"no key", "", nil},
		{"wrong form", "nonsense", nil},
		{"a prefix alone", apikey.LivePrefix, nil},
		{"unknown", unknown, nil},
		{"revoked", revoked, nil},
		{"read-only", s.newKey(t, s.workspace, apikey.ReadExports), []apikey.Permission{apikey.ReadExports}},
		{"write-only", s.newKey(t, s.workspace, apikey.WriteExports), []apikey.Permission{apikey.WriteExports}},
		{"full", s.key, apikey.Permissions},
	}
	routes := []struct {
		method, path string
		permission   apikey.Permission
		status       int // the status with a key that has the permission, for an export that is READY
	}{
		{"POST", "/v1/exports", apikey.WriteExports, 202},
		{"GET", "/v1/exports", apikey.ReadExports, 200},
		{"HEAD", "/v1/exports", apikey.ReadExports, 200},
		{"GET", "/v1/exports/{id}", apikey.ReadExports, 200},
		{"HEAD", "/v1/exports/{id}", apikey.ReadExports, 200},
		{"GET", "/v1/exports/{id}/download", apikey.ReadExports, 200},
		{"HEAD", "/v1/exports/{id}/download", apikey.ReadExports, 200},
		{"DELETE", "/v1/exports/{id}", apikey.WriteExports, 204},
	}
	theirs := *s
	theirs.workspace = other
	theirs.key = s.newKey(t, other, apikey.Permissions...)
	foreign, _ := theirs.publish(t, "json", time.Hour, "x")
	foreignPending := theirs.create(t, "json")
	deleted, _ := s.publish(t, "json", time.Hour, "x")
	s.do(t, "DELETE", "/v1/exports/"+deleted.ID).status(t, 204)
	foreignDeleted, _ := theirs.publish(t, "json", time.Hour, "x")
	theirs.do(t, "DELETE", "/v1/exports/"+foreignDeleted.ID).status(t, 204)
	ids := []struct {
		name  string
		id    func() string
		found bool
	}{
		{"own, READY", func() string { e, _ := s.publish(t, "json", time.Hour, "x"); return e.ID }, true},
		{"own, PENDING", func() string { return s.create(t, "json").ID }, true},
		{"foreign, READY", func() string { return foreign.ID }, false},
		{"foreign, PENDING", func() string { return foreignPending.ID }, false},
		{"foreign, deleted", func() string { return foreignDeleted.ID }, false},
		{"unknown", uuid.NewString, false},
		{"malformed", func() string { return "nonsense" }, false},
		{"deleted", func() string { return deleted.ID }, false},
	}

	cells, outcomes := 0, map[string]int{}
	for _, route := range routes {
		refused := "" // the answer to a refused key, which must always be the same
		for _, c := range credentials {
			absent := "" // the answer to an id that the key cannot find, which must always be the same
			denied := ""
			for _, id := range ids {
				path := strings.ReplaceAll(route.path, "{id}", id.id())
				if path == route.path && id.name != ids[0].name {
					continue // this route has no id
				}
				cells++
				a := s.do(t, route.method, path, "X-Api-Key", c.secret)
				cell := fmt.Sprintf("%s %s with the key %q and the id %q", route.method, route.path, c.name, id.name)
				status, code, previous := route.status, "", (*string)(nil)
				switch {
				case c.permissions == nil:
					status, code, previous = 401, "UNAUTHORIZED", &refused
				case !slices.Contains(c.permissions, route.permission):
					status, code, previous = 403, "PERMISSION_DENIED", &denied
				case !id.found && path != route.path:
					status, code, previous = 404, "EXPORT_NOT_FOUND", &absent
				case id.name == "own, PENDING" && strings.HasSuffix(path, "/download"):
					status, code = 409, "EXPORT_NOT_READY"
				}
				outcomes[fmt.Sprint(status)]++
				if a.StatusCode != status {
					t.Errorf("%s: %s, want %d: %s", cell, a.Status, status, a.body)
					continue
				}
				if code != "" {
					a.problem(t, status, code)
				}
				if previous == nil {
					continue
				}
				if got := fingerprint(a); *previous == "" {
					*previous = got
				} else if got != *previous {
					t.Errorf("%s: the answer is\n%s\nother than\n%s", cell, got, *previous)
				}
			}
		}
	}
	// None of these requests may have changed the other workspace.
	theirs.do(t, "GET", "/v1/exports/"+foreign.ID+"/download").status(t, 200)
	theirs.do(t, "GET", "/v1/exports/"+foreignPending.ID).status(t, 200)
	t.Logf("%d cells: %d routes, %d credentials, %d kinds of ids; outcomes %v", cells, len(routes), len(credentials), len(ids), outcomes)
}

// fingerprint returns an answer without the parts that differ for each request: the request's id, the
// time, and the key's remaining rate limit.
func fingerprint(a answer) string {
	var b strings.Builder
	fmt.Fprintln(&b, a.StatusCode)
	for _, name := range slices.Sorted(maps.Keys(a.Header)) {
		if name != "Date" && name != "X-Request-Id" && !strings.HasPrefix(name, "Ratelimit") {
			fmt.Fprintln(&b, name, http.Header(a.Header)[name])
		}
	}
	return b.String() + string(a.body)
}
