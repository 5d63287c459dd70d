package api

import (
	"net/http"
	"slices"
	"strings"
)

const keyHeader = "X-Api-Key"

// credential is the secret that a request sends to authenticate.
type credential struct {
	secret string
	bearer bool // whether the secret was sent as Authorization: Bearer
}

// credentialOf returns the credential in the headers of a request. It returns a problem if the headers
// contain no credential or more than one. The same key in both headers counts as one credential, because
// some generated clients send their key in both. An empty value is ignored, and so is an Authorization header
// with a scheme other than Bearer.
func credentialOf(h http.Header) (credential, *Problem) {
	empty := func(value string) bool { return value == "" }
	keys, tokens := slices.DeleteFunc(slices.Clone(h.Values(keyHeader)), empty), slices.DeleteFunc(bearerTokens(h), empty)
	switch {
	case len(keys)+len(tokens) == 0:
		return credential{}, newProblem(codeUnauthorized)
	case len(keys) > 1 || len(tokens) > 1 || len(keys) == 1 && len(tokens) == 1 && keys[0] != tokens[0]:
		p := newProblem(codeUnauthorized)
		p.Detail = "The headers X-Api-Key and Authorization have more than one key. Send one key in one of them."
		return credential{}, p
	case len(tokens) == 1:
		return credential{secret: tokens[0], bearer: true}, nil
	}
	return credential{secret: keys[0]}, nil
}

// bearerTokens returns what follows the scheme Bearer in each Authorization header.
func bearerTokens(h http.Header) (tokens []string) {
	for _, value := range h.Values("Authorization") {
		scheme, token, _ := strings.Cut(value, " ")
		if strings.EqualFold(scheme, "Bearer") {
			tokens = append(tokens, strings.Trim(token, " "))
		}
	}
	return tokens
}
