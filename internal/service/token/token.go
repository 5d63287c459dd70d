// Package token verifies access tokens (JWT) that an OpenID Connect provider issued. Clients can use
// them instead of API keys. go-jose parses the tokens and checks the signatures. This package adds
// what the verifier of go-oidc lacks: it forgets keys that the provider has withdrawn, it does not
// ask the provider for every unknown key id, and its errors distinguish a provider that does not
// answer from a bad token.
package token

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"memexport/internal/service/apikey"
	"memexport/internal/service/rowid"
)

const (
	leeway    = time.Minute // how much the clocks of the provider and of this process may differ
	maxLength = 16 << 10    // bytes of a token; usual tokens have 1 to 2 KiB
)

// algorithms lists the accepted algorithms. All of them use a public key to verify. HS256 is
// excluded: anybody who knows the public key could use it as the secret and sign tokens.
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
	jose.ES256, jose.ES384, jose.ES512, jose.EdDSA}

// Options say which tokens are accepted. All fields are required.
type Options struct {
	Issuer           string // URL of the provider; the claim iss must equal it
	Audience         string // the claim aud must contain it
	WorkspaceClaim   string // name of the claim with the workspace's UUID
	PermissionsClaim string // name of the claim with the permissions: an array, or text with spaces between them
}

// Token holds the contents of a valid token.
type Token struct {
	WorkspaceID string // UUID in lower case
	CallerID    string // "token:" and a hash of the workspace and of sub: the same for all tokens of one caller
	Permissions []apikey.Permission
}

// Invalid is the error for a token that does not authenticate its sender. Its text contains no part
// of the token.
type Invalid struct{ Reason string }

func (i *Invalid) Error() string { return "invalid token: " + i.Reason }

// NoWorkspace is the error for a valid token whose workspace claim does not name a workspace.
type NoWorkspace struct{ Claim string }

func (n *NoWorkspace) Error() string { return "the token's claim " + n.Claim + " is not a UUID" }

// ErrUnavailable means that the provider's keys could not be fetched, so that the token cannot be
// verified.
var ErrUnavailable = errors.New("the keys of the OIDC provider cannot be fetched")

// Verifier verifies tokens of one provider. It may be used by several goroutines at once.
type Verifier struct {
	options Options
	keys    *keySet
}

// NewVerifier returns a verifier. It does not connect: the provider's keys are fetched when they are
// needed.
func NewVerifier(o Options) *Verifier {
	client := &http.Client{Timeout: fetchTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return &Verifier{options: o, keys: &keySet{issuer: o.Issuer, client: client, now: time.Now}}
}

// Check fetches the provider's keys. If that fails, the error wraps ErrUnavailable.
func (v *Verifier) Check(ctx context.Context) error { return v.keys.refresh(ctx) }

// Looks reports whether a secret looks like a token and not like an API key.
func Looks(secret string) bool { return strings.Count(secret, ".") == 2 }

// Verify verifies a token and returns its contents. The error is *Invalid or *NoWorkspace, or wraps
// ErrUnavailable or the error of ctx. Permissions that the service does not know are left out.
func (v *Verifier) Verify(ctx context.Context, raw string) (Token, error) {
	if len(raw) > maxLength {
		return Token{}, &Invalid{"it is too long"}
	}
	parsed, err := jwt.ParseSigned(raw, algorithms)
	if err != nil {
		return Token{}, &Invalid{"it is not a JWT that is signed with a public-key algorithm"}
	}
	header := parsed.Headers[0] // a token in compact form has exactly one header
	keys, err := v.keys.find(ctx, header.KeyID, header.Algorithm)
	if err != nil {
		return Token{}, err
	}
	var claims jwt.Claims
	var all map[string]any
	signed := func(k jose.JSONWebKey) bool { return parsed.Claims(k.Key, &claims, &all) == nil }
	verified := slices.ContainsFunc(keys, signed)
	if !verified && header.KeyID == "" {
		// The token does not name its key, so only now does it turn out that the key may be a new one.
		if err := v.keys.refresh(ctx); err != nil {
			return Token{}, err
		}
		keys, _ = v.keys.cached(header.KeyID, header.Algorithm)
		verified = slices.ContainsFunc(keys, signed)
	}
	if !verified {
		return Token{}, &Invalid{"no key of the issuer has signed it"}
	}
	if reason := v.refuse(claims); reason != "" {
		return Token{}, &Invalid{reason}
	}
	text, _ := all[v.options.WorkspaceClaim].(string)
	workspace, err := rowid.Parse(text)
	if err != nil {
		return Token{}, &NoWorkspace{v.options.WorkspaceClaim}
	}
	sum := sha256.Sum256([]byte(workspace.String() + claims.Subject))
	return Token{WorkspaceID: workspace.String(), CallerID: "token:" + hex.EncodeToString(sum[:12]), Permissions: permissions(all[v.options.PermissionsClaim])}, nil
}

// refuse returns the reason why the claims of a signed token are not acceptable, or "" if the claims
// are acceptable.
func (v *Verifier) refuse(claims jwt.Claims) string {
	err := claims.ValidateWithLeeway(jwt.Expected{Issuer: v.options.Issuer, AnyAudience: jwt.Audience{v.options.Audience}, Time: v.keys.now()}, leeway)
	switch {
	case errors.Is(err, jwt.ErrInvalidIssuer):
		return "it is from another issuer"
	case errors.Is(err, jwt.ErrInvalidAudience):
		return "it is for another audience"
	case errors.Is(err, jwt.ErrExpired):
		return "it has expired"
	case err != nil: // the claim nbf or iat is in the future
		return "it is not valid yet"
	case claims.Expiry == nil:
		return "it does not expire"
	}
	return ""
}

// permissions returns the known permissions in the value of the permissions claim.
func permissions(claim any) (granted []apikey.Permission) {
	var names []string
	switch claim := claim.(type) {
	case string:
		names = strings.Fields(claim)
	case []any:
		for _, element := range claim {
			name, _ := element.(string)
			names = append(names, name)
		}
	}
	for _, p := range apikey.Permissions {
		if slices.Contains(names, string(p)) {
			granted = append(granted, p)
		}
	}
	return granted
}
