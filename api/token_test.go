package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"

	"memexport/api"
	"memexport/internal/service/apikey"
	"memexport/internal/service/token"
	"memexport/internal/workshop/issuer"
)

// withTokens makes the service accept tokens from this issuer.
func withTokens(i *issuer.Issuer) func(*api.Options) {
	return func(o *api.Options) {
		o.Tokens = token.NewVerifier(token.Options{Issuer: i.URL, Audience: issuer.Audience, WorkspaceClaim: "workspace_id", PermissionsClaim: "scope"})
	}
}

// bearer sends a request with this token and without an API key.
func (s *service) bearer(t *testing.T, method, target, raw string) answer {
	t.Helper()
	return s.do(t, method, target, "X-Api-Key", "", "Authorization", "Bearer "+raw)
}

func TestATokenOfTheProviderIsAccepted(t *testing.T) {
	t.Parallel()
	i := issuer.Start(t)
	s := newService(t, withTokens(i))
	key := i.NewKey(t, "a", jose.RS256)
	e, file := s.publish(t, "json", time.Hour, "x")
	reader, writer := key.Sign(t, i.Claims(strings.ToUpper(s.workspace), "export.read")), key.Sign(t, i.Claims(s.workspace, []string{"export.write"}))
	if got := string(s.bearer(t, "GET", "/v1/exports/"+e.ID+"/download", reader).status(t, 200).body); got != file {
		t.Errorf("the file is %q, want %q", got, file)
	}
	s.bearer(t, "GET", "/v1/exports/"+e.ID, reader).status(t, 200)
	s.bearer(t, "POST", "/v1/exports", writer).status(t, 202)
	for _, refused := range []answer{s.bearer(t, "POST", "/v1/exports", reader), s.bearer(t, "DELETE", "/v1/exports/"+e.ID, reader),
		s.bearer(t, "GET", "/v1/exports/"+e.ID, writer), s.bearer(t, "GET", "/v1/exports", key.Sign(t, i.Claims(s.workspace, "openid")))} {
		if p := refused.problem(t, 403, "PERMISSION_DENIED"); !strings.Contains(p.Detail, "lacks the permission export.") {
			t.Errorf("the detail is %q", p.Detail)
		}
	}
	stranger := key.Sign(t, i.Claims(uuid.NewString(), "export.read export.write"))
	for _, c := range [][2]string{{"GET", ""}, {"GET", "/download"}, {"DELETE", ""}} {
		s.bearer(t, c[0], "/v1/exports/"+e.ID+c[1], stranger).problem(t, 404, "EXPORT_NOT_FOUND")
	}
	s.do(t, "GET", "/v1/exports").status(t, 200) // API keys still work in both headers
	s.bearer(t, "GET", "/v1/exports", s.key).status(t, 200)
}

func TestATokenThatProvesNothingIsUnauthorized(t *testing.T) {
	t.Parallel()
	i := issuer.Start(t)
	s := newService(t, withTokens(i))
	key := i.NewKey(t, "a", jose.ES256)
	claims := i.Claims(s.workspace, "export.read")
	valid := key.Sign(t, claims)
	s.bearer(t, "GET", "/v1/exports", valid).status(t, 200)
	claims["exp"] = time.Now().Add(-time.Hour).Unix()
	for what, raw := range map[string]string{"it has expired": key.Sign(t, claims), "no key of the issuer": issuer.NewKey(t, "b", jose.ES256).Sign(t, i.Claims(s.workspace, "export.read")),
		"it is not a JWT": "a.b.c"} {
		a := s.bearer(t, "GET", "/v1/exports", raw)
		if p := a.problem(t, 401, "UNAUTHORIZED"); !strings.Contains(p.Detail, what) || strings.Contains(string(a.body), raw) {
			t.Errorf("%s: %s", what, a.body)
		}
		if got := strings.Join(a.Header.Values("WWW-Authenticate"), ", "); got != `ApiKey realm="memexport", Bearer realm="memexport", error="invalid_token"` {
			t.Errorf("%s: WWW-Authenticate: %s", what, got)
		}
	}
	s.do(t, "GET", "/v1/exports", "X-Api-Key", valid).problem(t, 401, "UNAUTHORIZED") // tokens are accepted only as bearer tokens
	s.do(t, "GET", "/v1/exports", "Authorization", "Bearer "+valid).problem(t, 401, "UNAUTHORIZED")
	s.bearer(t, "GET", "/v1/exports", "msk_live_x").header(t, "WWW-Authenticate", `ApiKey realm="memexport"`).problem(t, 401, "UNAUTHORIZED")
	for _, workspace := range []string{"", "acme"} {
		p := s.bearer(t, "GET", "/v1/exports", key.Sign(t, i.Claims(workspace, "export.read"))).problem(t, 403, "PERMISSION_DENIED")
		if !strings.Contains(p.Detail, "workspace_id") {
			t.Errorf("the detail is %q", p.Detail)
		}
	}
	for part := range strings.SplitSeq(valid, ".") {
		if strings.Contains(s.log.String(), part) {
			t.Error("the log has a part of a token")
		}
	}
	keysOnly := newService(t)
	keysOnly.bearer(t, "GET", "/v1/exports", valid).problem(t, 401, "UNAUTHORIZED")
}

func TestLimitsForEachKeyCountTheCallersOfTokensApart(t *testing.T) {
	t.Parallel()
	i := issuer.Start(t)
	s := newService(t, withTokens(i), func(o *api.Options) { o.Limits.RequestsPerSecond = 1 })
	key := i.NewKey(t, "a", jose.ES256)
	claims := i.Claims(s.workspace, "export.read")
	for refused := false; !refused; { // all tokens of a caller share one limit, so a new token for each request must not permit more requests
		refused = s.bearer(t, "GET", "/v1/exports", key.Sign(t, claims)).StatusCode == 429
	}
	claims["sub"] = "user-2"
	s.bearer(t, "GET", "/v1/exports", key.Sign(t, claims)).status(t, 200)
}

func TestAnOutageOfTheProviderIsUnavailable(t *testing.T) {
	t.Parallel()
	i := issuer.Start(t)
	s := newService(t, withTokens(i), func(o *api.Options) { o.AuthFailures = 1 })
	raw := i.NewKey(t, "a", jose.ES256).Sign(t, i.Claims(s.workspace, "export.read"))
	i.Fail(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	for range 3 { // an outage does not count as a wrong token, so no request is refused with 429
		a := s.bearer(t, "GET", "/v1/exports", raw).header(t, "Retry-After", "5")
		a.problem(t, 503, "UNAVAILABLE")
		if strings.Contains(string(a.body), i.URL) {
			t.Errorf("the answer shows the cause: %s", a.body)
		}
	}
	if !strings.Contains(s.log.String(), "the keys of the OIDC provider cannot be fetched") || strings.Contains(s.log.String(), strings.Split(raw, ".")[1]) {
		t.Errorf("the log has %s", s.log.String())
	}
	s.do(t, "GET", "/v1/exports").status(t, 200)
}

func TestManyWrongTokensFromOneAddressAreRefused(t *testing.T) {
	t.Parallel()
	i := issuer.Start(t)
	s := newService(t, withTokens(i), func(o *api.Options) { o.AuthFailures = 1 })
	key := i.NewKey(t, "a", jose.ES256)
	for range 4 { // valid tokens do not count as failures, whatever permissions they have
		s.bearer(t, "GET", "/v1/exports", key.Sign(t, i.Claims(uuid.NewString(), "export.read"))).status(t, 200)
		s.bearer(t, "GET", "/v1/exports", key.Sign(t, i.Claims(uuid.NewString(), ""))).status(t, 403)
		s.bearer(t, "GET", "/v1/exports", key.Sign(t, i.Claims("acme", "export.read"))).status(t, 403)
	}
	used := s.newKey(t, s.workspace, apikey.ReadExports)
	s.bearer(t, "GET", "/v1/exports", used).status(t, 200)
	s.bearer(t, "GET", "/v1/exports", "a.b.c").status(t, 401)
	s.bearer(t, "GET", "/v1/exports", "a.b.c").problem(t, 429, "TOO_MANY_FAILURES")
	s.bearer(t, "GET", "/v1/exports", used).status(t, 200)
}
