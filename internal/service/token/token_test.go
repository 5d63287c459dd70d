package token_test

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"memexport/internal/service/apikey"
	"memexport/internal/service/token"
	"memexport/internal/workshop/issuer"
)

const workspace = "7f3b6c1e-9f0a-4c5e-8d57-0d9f6f7a1b22"

func newVerifier(i *issuer.Issuer) *token.Verifier {
	return token.NewVerifier(token.Options{Issuer: i.URL, Audience: issuer.Audience, WorkspaceClaim: "workspace_id", PermissionsClaim: "scope"})
}

func accepts(t *testing.T, v *token.Verifier, raw string) token.Token {
	t.Helper()
	got, err := v.Verify(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// refuses checks that a token is refused for the given reason, and that the error does not quote the
// token.
func refuses(t *testing.T, v *token.Verifier, what, raw, reason string) {
	t.Helper()
	got, err := v.Verify(t.Context(), raw)
	var invalid *token.Invalid
	if !errors.As(err, &invalid) || !strings.Contains(invalid.Reason, reason) || got.WorkspaceID != "" || got.Permissions != nil {
		t.Errorf("%s: %+v, %v, want %q", what, got, err, reason)
	}
	for part := range strings.SplitSeq(raw, ".") {
		if err != nil && len(part) > 4 && strings.Contains(err.Error(), part) {
			t.Errorf("%s: the error %q has a part of the token", what, err)
		}
	}
}

// with returns a copy of claims with the given names and values set. The value nil removes a claim.
func with(claims map[string]any, pairs ...any) map[string]any {
	claims = maps.Clone(claims)
	for i := 0; i < len(pairs); i += 2 {
		if claims[pairs[i].(string)] = pairs[i+1]; pairs[i+1] == nil {
			delete(claims, pairs[i].(string))
		}
	}
	return claims
}

func TestAValidTokenOfEveryAlgorithmIsAccepted(t *testing.T) {
	t.Parallel()
	i := issuer.Start(t)
	v := newVerifier(i)
	var keys []*issuer.Key
	for _, algorithm := range []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.ES256, jose.ES384, jose.EdDSA} {
		keys = append(keys, i.NewKey(t, "key-"+string(algorithm), algorithm))
	}
	for _, key := range keys {
		got := accepts(t, v, key.Sign(t, i.Claims(strings.ToUpper(workspace), "openid export.read export.write")))
		if got.WorkspaceID != workspace || !slices.Equal(got.Permissions, apikey.Permissions) {
			t.Errorf("%s: %+v", key.Algorithm, got)
		}
		withoutID := issuer.Sign(t, jose.SigningKey{Algorithm: key.Algorithm, Key: key.Private}, "", i.Claims(workspace, ""))
		accepts(t, v, withoutID)
	}
	if n := i.Fetches(); n != 1 {
		t.Errorf("the keys were fetched %d times, want once", n)
	}
}

func TestAllTokensOfACallerHaveTheSameID(t *testing.T) {
	t.Parallel()
	i := issuer.Start(t)
	v, key := newVerifier(i), i.NewKey(t, "a", jose.ES256)
	claims := i.Claims(workspace, "export.read")
	id := func(pairs ...any) string { return accepts(t, v, key.Sign(t, with(claims, pairs...))).CallerID }
	one := id()
	if !strings.HasPrefix(one, "token:") || len(one) != 30 || strings.Contains(one, "user-1") || id("scope", "", "jti", "2") != one {
		t.Errorf("the ids are %q and %q", one, id("scope", "", "jti", "2"))
	}
	if id("sub", "user-2") == one || id("sub", nil) == one || id("workspace_id", "7f3b6c1e-9f0a-4c5e-8d57-0d9f6f7a1b23") == one {
		t.Error("two callers have the same id")
	}
}

func TestPermissionsAreTextOrAnArray(t *testing.T) {
	t.Parallel()
	i := issuer.Start(t)
	v, key := newVerifier(i), i.NewKey(t, "a", jose.ES256)
	read, write := apikey.ReadExports, apikey.WriteExports
	for _, c := range []struct {
		claim any
		want  []apikey.Permission
	}{
		{"export.read", []apikey.Permission{read}},
		{"export.write  openid", []apikey.Permission{write}},
		{"export.write export.read export.read", []apikey.Permission{read, write}},
		{[]string{"export.write"}, []apikey.Permission{write}},
		{[]any{"export.read", 7, nil, map[string]any{"export.write": true}}, []apikey.Permission{read}},
		{"", nil}, {nil, nil}, {7, nil}, {true, nil}, {[]string{}, nil}, {"export.delete", nil}, {"EXPORT.READ", nil}, {"export.read,export.write", nil},
		{[]string{"export.read export.write"}, nil}, {map[string]any{"export.read": true}, nil},
	} {
		if got := accepts(t, v, key.Sign(t, with(i.Claims(workspace, ""), "scope", c.claim))); !slices.Equal(got.Permissions, c.want) {
			t.Errorf("%v gives %v, want %v", c.claim, got.Permissions, c.want)
		}
	}
}

func TestTheNamesOfClaimsAreSettings(t *testing.T) {
	t.Parallel()
	i := issuer.Start(t)
	key := i.NewKey(t, "a", jose.ES256)
	v := token.NewVerifier(token.Options{Issuer: i.URL, Audience: issuer.Audience, WorkspaceClaim: "https://example.com/workspace", PermissionsClaim: "permissions"})
	claims := with(i.Claims("other", "export.write"), "https://example.com/workspace", workspace, "permissions", []string{"export.read"})
	if got := accepts(t, v, key.Sign(t, claims)); got.WorkspaceID != workspace || !slices.Equal(got.Permissions, []apikey.Permission{apikey.ReadExports}) {
		t.Errorf("%+v", got)
	}
}

func TestATokenWithWrongClaimsIsRefused(t *testing.T) {
	t.Parallel()
	i := issuer.Start(t)
	v, key := newVerifier(i), i.NewKey(t, "a", jose.RS256)
	at := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	valid := i.Claims(workspace, "export.read")
	for _, c := range []struct {
		what   string
		claims map[string]any
		reason string
	}{
		{"expired", with(valid, "exp", at(-2*time.Minute)), "expired"},
		{"does not expire", with(valid, "exp", nil), "does not expire"},
		{"not yet valid", with(valid, "nbf", at(2*time.Minute)), "not valid yet"},
		{"issued in the future", with(valid, "iat", at(2*time.Minute)), "not valid yet"},
		{"wrong audience", with(valid, "aud", "other"), "another audience"},
		{"wrong audiences", with(valid, "aud", []string{"other", "exports2"}), "another audience"},
		{"no audience", with(valid, "aud", nil), "another audience"},
		{"wrong issuer", with(valid, "iss", "https://other.example"), "another issuer"},
		{"issuer with a slash", with(valid, "iss", i.URL+"/"), "another issuer"},
		{"no issuer", with(valid, "iss", nil), "another issuer"},
		{"times as text", with(valid, "exp", "2100-01-01"), ""},
	} {
		refuses(t, v, c.what, key.Sign(t, c.claims), c.reason)
	}
	for what, claims := range map[string]map[string]any{
		"expired within the leeway":   with(valid, "exp", at(-30*time.Second)),
		"not yet valid by the leeway": with(valid, "nbf", at(30*time.Second), "iat", at(30*time.Second)),
		"one of the audiences":        with(valid, "aud", []string{"other", issuer.Audience}),
		"no nbf and no iat":           with(valid, "nbf", nil, "iat", nil),
	} {
		if _, err := v.Verify(t.Context(), key.Sign(t, claims)); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestATokenWithoutAWorkspaceBelongsToNobody(t *testing.T) {
	t.Parallel()
	i := issuer.Start(t)
	v, key := newVerifier(i), i.NewKey(t, "a", jose.ES256)
	for _, claim := range []any{nil, "", "acme", "*", "urn:uuid:" + workspace, "{" + workspace + "}", strings.ReplaceAll(workspace, "-", ""), workspace + " ", []string{workspace}, 7, true} {
		got, err := v.Verify(t.Context(), key.Sign(t, with(i.Claims("", "export.read"), "workspace_id", claim)))
		var none *token.NoWorkspace
		if !errors.As(err, &none) || none.Claim != "workspace_id" || got.WorkspaceID != "" {
			t.Errorf("%v: %+v, %v", claim, got, err)
		}
	}
}

func TestATokenThatNobodySignedIsRefused(t *testing.T) {
	t.Parallel()
	i := issuer.Start(t)
	v, key := newVerifier(i), i.NewKey(t, "a", jose.RS256)
	claims := i.Claims(workspace, "export.read export.write")
	valid := key.Sign(t, claims)
	accepts(t, v, valid)
	parts := strings.Split(valid, ".")
	encode := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	der, err := x509.MarshalPKIXPublicKey(key.Private.Public())
	if err != nil {
		t.Fatal(err)
	}
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	stranger := issuer.NewKey(t, "a", jose.RS256)
	embedded := jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: stranger.Private, KeyID: "a"}}
	signer, err := jose.NewSigner(embedded, &jose.SignerOptions{EmbedJWK: true})
	if err != nil {
		t.Fatal(err)
	}
	payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	withOwnKey, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	for what, raw := range map[string]string{
		"alg none":                          encode(`{"alg":"none","typ":"JWT"}`) + "." + parts[1] + ".",
		"alg None with the signature":       encode(`{"alg":"None","kid":"a"}`) + "." + parts[1] + "." + parts[2],
		"no alg":                            encode(`{"kid":"a"}`) + "." + parts[1] + "." + parts[2],
		"HS256 with the public key as DER":  issuer.Sign(t, jose.SigningKey{Algorithm: jose.HS256, Key: der}, "a", claims),
		"HS256 with the public key as PEM":  issuer.Sign(t, jose.SigningKey{Algorithm: jose.HS256, Key: publicPEM}, "a", claims),
		"another key with the same id":      stranger.Sign(t, claims),
		"another key in the header":         withOwnKey,
		"another algorithm of the same key": issuer.Sign(t, jose.SigningKey{Algorithm: jose.PS256, Key: key.Private}, "a", claims),
		"other claims":                      parts[0] + "." + encode(strings.Replace(string(payload), workspace, "7f3b6c1e-9f0a-4c5e-8d57-0d9f6f7a1b23", 1)) + "." + parts[2],
		"no signature":                      parts[0] + "." + parts[1] + ".",
		"part of the signature":             parts[0] + "." + parts[1] + "." + parts[2][:20],
		"nothing":                           "", "dots": "..", "not base64": "a.b.%", "an API key": "msk_live_" + strings.Repeat("A", 52), "too long": strings.Repeat(valid, 20),
	} {
		refuses(t, v, what, raw, "")
	}
}

func TestASymmetricKeyInTheKeySetIsNotUsed(t *testing.T) {
	t.Parallel()
	i := issuer.Start(t)
	v, key := newVerifier(i), i.NewKey(t, "a", jose.ES256)
	secret := []byte(strings.Repeat("k", 32))
	i.Publish(map[string]string{"kty": "oct", "kid": "s", "alg": "HS256", "k": base64.RawURLEncoding.EncodeToString(secret)},
		map[string]string{"kty": "AKP", "kid": "future", "alg": "ML-DSA-44"}) // a key type that go-jose does not know
	accepts(t, v, key.Sign(t, i.Claims(workspace, "")))
	refuses(t, v, "HS256", issuer.Sign(t, jose.SigningKey{Algorithm: jose.HS256, Key: secret}, "s", i.Claims(workspace, "")), "")
}
