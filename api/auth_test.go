package api_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"memexport/internal/service/apikey"
	"memexport/internal/workshop/await"
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

func TestAKeyMayComeAsABearerToken(t *testing.T) {
	t.Parallel()
	s := newService(t)
	other := s.newKey(t, uuid.NewString(), apikey.Permissions...)
	for _, c := range []struct {
		what    string
		headers []string // header lines exactly as they are sent
		status  int
	}{
		{"the key as X-Api-Key", []string{"X-Api-Key: " + s.key}, 200},
		{"the key as a bearer token", []string{"Authorization: Bearer " + s.key}, 200},
		{"the scheme in other letters", []string{"Authorization: bEARER " + s.key}, 200},
		{"more spaces", []string{"Authorization: Bearer   " + s.key + " "}, 200},
		{"the same key twice", []string{"X-Api-Key: " + s.key, "Authorization: Bearer " + s.key}, 200},
		{"another scheme beside a key", []string{"X-Api-Key: " + s.key, "Authorization: Basic dTpw"}, 200},
		{"nothing", nil, 401},
		{"another scheme", []string{"Authorization: Basic " + s.key}, 401},
		{"no scheme", []string{"Authorization: " + s.key}, 401},
		{"an empty token", []string{"Authorization: Bearer"}, 401},
		{"an empty key with a token", []string{"X-Api-Key:", "Authorization: Bearer " + s.key}, 200},
		{"an empty token with a key", []string{"X-Api-Key: " + s.key, "Authorization: Bearer "}, 200},
		{"an empty key and an empty token", []string{"X-Api-Key:", "Authorization: Bearer "}, 401},
		{"a scheme without a space", []string{"Authorization: Bearer" + s.key}, 401},
		{"two different keys", []string{"X-Api-Key: " + s.key, "Authorization: Bearer " + other}, 401},
		{"two keys of one header", []string{"X-Api-Key: " + s.key, "X-Api-Key: " + s.key}, 401},
		{"two different keys of one header", []string{"X-Api-Key: " + s.key, "X-Api-Key: other"}, 401},
		{"two bearer tokens", []string{"Authorization: Bearer " + s.key, "Authorization: Bearer " + s.key}, 401},
	} {
		connection := s.dial(t) // write the request by hand, because http.Header would merge and trim some of the lines
		fmt.Fprintf(connection, "GET /v1/exports HTTP/1.1\r\nHost: x\r\n%s\r\n", strings.Join(append(c.headers, ""), "\r\n"))
		response, err := http.ReadResponse(bufio.NewReader(connection), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != c.status {
			t.Errorf("%s: %s, want %d: %s %v", c.what, response.Status, c.status, body, err)
		}
		if want := "Send one key in one of them"; c.status == 401 && strings.Contains(string(body), want) != strings.Contains(c.what, "two") {
			t.Errorf("%s: %s", c.what, body)
		}
	}
}

func TestA401NamesBothWaysToAuthenticate(t *testing.T) {
	t.Parallel()
	s := newService(t)
	a := s.do(t, "GET", "/v1/exports", "X-Api-Key", "")
	a.problem(t, 401, "UNAUTHORIZED")
	if got := a.Header.Values("WWW-Authenticate"); !slices.Equal(got, []string{`ApiKey realm="memexport"`, `Bearer realm="memexport"`}) {
		t.Errorf("WWW-Authenticate: %q", got)
	}
}

func TestTheLogNamesTheKeyAndNotItsSecret(t *testing.T) {
	t.Parallel()
	s := newService(t)
	secret, key, err := s.keys.Create(t.Context(), s.workspace, "test", apikey.LivePrefix, apikey.Permissions)
	if err != nil {
		t.Fatal(err)
	}
	s.do(t, "GET", "/v1/exports", "X-Api-Key", "", "Authorization", "Bearer "+secret).status(t, 200)
	await.True(t, time.Minute, "the request is logged", func() bool { return strings.Contains(s.log.String(), "key_id="+key.ID) })
	if strings.Contains(s.log.String(), secret[len(apikey.LivePrefix):]) {
		t.Error("the log has the key")
	}
}
