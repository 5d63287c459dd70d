package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"

	"memexport/internal/workshop/issuer"
)

// launchAPI starts another API process beside a stack and returns it with its URL.
func launchAPI(t *testing.T, s *stack, env ...string) (*command, string) {
	t.Helper()
	p := launch(t, append([]string{"DATABASE_URL=" + s.database, "BUCKET_URL=file://" + t.TempDir(), "HTTP_ADDR=127.0.0.1:0", "TEMPORAL_ADDRESS=127.0.0.1:1"}, env...), "api")
	return p, apiURL(t, p)
}

func TestARevokedKeyIsRefusedByEveryProcessAtOnce(t *testing.T) {
	s := sharedStack(t)
	_, other := launchAPI(t, s)
	workspace := uuid.NewString()
	here := newClient(s.url, createKey(t, s.database, workspace, "export.read"))
	there := here.at(other)
	here.do(t, "GET", "/v1/exports").want(t, 200)
	there.do(t, "GET", "/v1/exports").want(t, 200)
	ids, _ := listKeys(t, s, workspace)
	mustRun(t, []string{"DATABASE_URL=" + s.database}, "keys", "revoke", ids[0])
	here.do(t, "GET", "/v1/exports").problem(t, 401, "UNAUTHORIZED")
	there.do(t, "GET", "/v1/exports").problem(t, 401, "UNAUTHORIZED")
}

func TestTokensOfAProviderAreAcceptedWhereTheSettingsSaySo(t *testing.T) {
	s := sharedStack(t)
	provider := issuer.Start(t)
	key := provider.NewKey(t, "a", jose.RS256)
	_, url := launchAPI(t, s, "OIDC_ISSUER="+provider.URL, "OIDC_AUDIENCE="+issuer.Audience, "OIDC_WORKSPACE_CLAIM=org", "OIDC_PERMISSIONS_CLAIM=permissions")
	ours, theirs := s.newTenant(t), s.newTenant(t)
	export := theirs.create(t, "")
	claims := provider.Claims(theirs.workspace, "export.write")
	claims["org"], claims["permissions"] = ours.workspace, []string{"export.read"}
	token := "Bearer " + key.Sign(t, claims)

	caller := newClient(url, "")
	caller.do(t, "GET", "/v1/exports", "Authorization", token).want(t, 200)
	caller.do(t, "POST", "/v1/exports", "Authorization", token).problem(t, 403, "PERMISSION_DENIED")
	caller.do(t, "GET", "/v1/exports/"+export.ID, "Authorization", token).problem(t, 404, "EXPORT_NOT_FOUND")
	newClient(s.url, "").do(t, "GET", "/v1/exports", "Authorization", token).problem(t, 401, "UNAUTHORIZED")
	ours.at(url).do(t, "GET", "/v1/exports").want(t, 200) // keys still work
}

func TestTheAPIStartsWithoutTheProvider(t *testing.T) {
	s := sharedStack(t)
	provider := issuer.Start(t)
	key := provider.NewKey(t, "a", jose.ES256)
	provider.Fail(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	p, url := launchAPI(t, s, "OIDC_ISSUER="+provider.URL, "OIDC_AUDIENCE="+issuer.Audience)
	p.wantSays(t, "until the provider in OIDC_ISSUER answers")
	token := "Bearer " + key.Sign(t, provider.Claims(uuid.NewString(), "export.read"))
	a := newClient(url, "").do(t, "GET", "/v1/exports", "Authorization", token)
	a.problem(t, 503, "UNAVAILABLE")
	if a.header.Get("Retry-After") == "" {
		t.Error("a 503 without Retry-After")
	}
	s.client().at(url).do(t, "GET", "/v1/exports").want(t, 200)
	if output := p.Output(); strings.Contains(output, strings.Split(token, ".")[1]) {
		t.Errorf("the log has the token:\n%s", output)
	}
}

func TestWrongKeysAreLimitedForEachClientBehindAProxy(t *testing.T) {
	s := sharedStack(t)
	_, url := launchAPI(t, s, "AUTH_FAILURES_PER_MINUTE=3", "TRUSTED_PROXIES=127.0.0.1")
	for _, client := range []string{"192.0.2.1", "192.0.2.2"} {
		statuses := map[int]int{}
		for i := range 10 {
			key := fmt.Sprintf("msk_live_%s%c", strings.Repeat("A", 51), 'A'+i)
			a := newClient(url, key).do(t, "GET", "/v1/exports", "X-Forwarded-For", "198.51.100.7, "+client)
			if statuses[a.status]++; a.status == 429 && a.header.Get("Retry-After") == "" {
				t.Error("a 429 without Retry-After")
			}
		}
		if statuses[401] < 3 || statuses[429] < 3 || statuses[401]+statuses[429] != 10 { // the exact counts vary, because one more wrong key is allowed every 20 seconds
			t.Errorf("%s gets the statuses %v", client, statuses)
		}
	}
}
