package api_test

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"memexport/internal/service/apikey"
)

func TestOnlyAKeyWithThePermissionIsAccepted(t *testing.T) {
	t.Parallel()
	s := newService(t)
	reader, writer := s.newKey(t, s.workspace, apikey.ReadExports), s.newKey(t, s.workspace, apikey.WriteExports)
	revoked, key, err := s.keys.Create(t.Context(), s.workspace, "revoked", apikey.LivePrefix, apikey.Permissions)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.keys.Revoke(t.Context(), key.ID); err != nil {
		t.Fatal(err)
	}
	e, _ := s.publish(t, "json", time.Hour, "x")
	bad := []string{"", "x", revoked, s.key + "x", s.key[:len(s.key)-1], strings.ToLower(s.key), "Bearer " + s.key, strings.Repeat("k", 10_000)}

	for _, c := range []struct {
		method, target string
		status         int
		allowed        string
		denied         string
		permission     string
	}{
		{"GET", "/v1/exports", 200, reader, writer, "export.read"},
		{"GET", "/v1/exports/" + e.ID, 200, reader, writer, "export.read"},
		{"GET", "/v1/exports/" + e.ID + "/download", 200, reader, writer, "export.read"},
		{"POST", "/v1/exports", 202, writer, reader, "export.write"},
		{"DELETE", "/v1/exports/" + e.ID, 204, writer, reader, "export.write"},
	} {
		for _, k := range bad {
			s.do(t, c.method, c.target, "X-Api-Key", k).header(t, "WWW-Authenticate", `ApiKey realm="memexport"`).problem(t, 401, "UNAUTHORIZED")
		}
		p := s.do(t, c.method, c.target, "X-Api-Key", c.denied).problem(t, 403, "PERMISSION_DENIED")
		if !strings.Contains(p.Detail, c.permission) {
			t.Errorf("%s %s: %q does not name %s", c.method, c.target, p.Detail, c.permission)
		}
		s.do(t, c.method, c.target, "X-Api-Key", c.allowed).status(t, c.status)
	}
	if n := s.count(t); n != 2 {
		t.Errorf("%d exports, want the two that were allowed", n)
	}
}

func TestAuthenticationComesFirstAndNotFoundLast(t *testing.T) {
	t.Parallel()
	s := newService(t)
	writer := s.newKey(t, s.workspace, apikey.WriteExports)
	unknown := "/v1/exports/" + uuid.NewString()
	s.do(t, "GET", unknown+"?x=1", "X-Api-Key", "bad").problem(t, 401, "UNAUTHORIZED")
	s.do(t, "GET", unknown+"?x=1", "X-Api-Key", writer).problem(t, 403, "PERMISSION_DENIED")
	s.do(t, "GET", unknown+"?x=1").problem(t, 422, "INVALID_REQUEST")
	s.do(t, "GET", unknown).problem(t, 404, "EXPORT_NOT_FOUND")
}

func TestARequestWithTwoKeysIsRefused(t *testing.T) {
	t.Parallel()
	s := newService(t)
	connection := s.dial(t) // since do sends one key only
	fmt.Fprintf(connection, "POST /v1/exports HTTP/1.1\r\nHost: x\r\nX-Api-Key: %s\r\nX-Api-Key: other\r\nContent-Length: 0\r\n\r\n", s.key)
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != 401 {
		t.Errorf("the answer is %s, want 401", response.Status)
	}
}
