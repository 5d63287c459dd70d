package token_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"memexport/internal/service/token"
	"memexport/internal/workshop/await"
	"memexport/internal/workshop/issuer"
)

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// unavailable checks that Verify returns ErrUnavailable for a token.
func unavailable(t *testing.T, v *token.Verifier, raw string) {
	t.Helper()
	if _, err := v.Verify(t.Context(), raw); !errors.Is(err, token.ErrUnavailable) {
		t.Errorf("Verify: %v, want %v", err, token.ErrUnavailable)
	}
}

func TestANewKeyIsFoundAndAnOldOneForgotten(t *testing.T) {
	t.Parallel()
	i := issuer.Start(t)
	v, first := newVerifier(i), i.NewKey(t, "first", jose.ES256)
	before := first.Sign(t, i.Claims(workspace, ""))
	accepts(t, v, before)

	second := i.NewKey(t, "second", jose.ES256)
	after := second.Sign(t, i.Claims(workspace, ""))
	refuses(t, v, "the new key within 10 seconds of the last fetch", after, "no key")
	v.Elapse(11 * time.Second)
	accepts(t, v, after)
	accepts(t, v, before)

	i.Withdraw(first)
	v.Elapse(11 * time.Minute)
	// The old key is accepted while the fetch of the keys is slow.
	await.True(t, time.Minute, "the old key is refused", func() bool {
		_, err := v.Verify(t.Context(), before)
		return err != nil
	})
	refuses(t, v, "the old key", before, "no key")
	accepts(t, v, after)
}

func TestANewKeyWithoutAnIDIsFound(t *testing.T) {
	t.Parallel()
	i := issuer.Start(t)
	v, first := newVerifier(i), i.NewKey(t, "", jose.ES256)
	accepts(t, v, first.Sign(t, i.Claims(workspace, "")))
	after := i.NewKey(t, "", jose.ES256).Sign(t, i.Claims(workspace, ""))
	refuses(t, v, "the new key within 10 seconds of the last fetch", after, "no key")
	v.Elapse(11 * time.Second)
	accepts(t, v, after)

	stranger := issuer.NewKey(t, "", jose.ES256).Sign(t, i.Claims(workspace, ""))
	i.Fail(status(503))
	v.Elapse(11 * time.Second)
	unavailable(t, v, stranger) // the provider may have the key by now
	accepts(t, v, after)
}

func TestAProviderThatHangsDoesNotDelayTokensOfKnownKeys(t *testing.T) {
	t.Parallel()
	i := issuer.Start(t)
	v, key := newVerifier(i), i.NewKey(t, "a", jose.ES256)
	raw := key.Sign(t, i.Claims(workspace, ""))
	accepts(t, v, raw)
	asked, answered := make(chan struct{}), make(chan struct{})
	i.Fail(func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
		close(answered)
	})
	v.Elapse(11 * time.Minute)
	accepts(t, v, raw)
	<-asked
	select {
	case <-answered:
		t.Error("the token was verified only after the request for the keys had ended")
	default:
	}
}

func TestMadeUpKeysDoNotFloodTheProvider(t *testing.T) {
	t.Parallel()
	i := issuer.Start(t)
	v, key := newVerifier(i), i.NewKey(t, "a", jose.ES256)
	accepts(t, v, key.Sign(t, i.Claims(workspace, "")))
	stranger := issuer.NewKey(t, "stranger", jose.ES256)
	flood := func() {
		var group sync.WaitGroup
		for n := range 50 {
			stranger.ID = fmt.Sprint("stranger-", n)
			raw := stranger.Sign(t, i.Claims(workspace, ""))
			group.Go(func() { refuses(t, v, "an unknown key", raw, "no key") })
		}
		group.Wait()
	}
	flood()
	if n := i.Fetches(); n != 1 {
		t.Errorf("the keys were fetched %d times, want once", n)
	}
	v.Elapse(11 * time.Second)
	flood()
	if n := i.Fetches(); n != 2 {
		t.Errorf("the keys were fetched %d times, want twice", n)
	}
}

func TestAProviderThatDoesNotAnswerIsNotAnInvalidToken(t *testing.T) {
	t.Parallel()
	for what, failure := range map[string]http.HandlerFunc{
		"an error":      status(500),
		"nothing there": status(404),
		"no JSON":       func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
		"another issuer": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"issuer":"https://other.example","jwks_uri":"https://other.example/keys"}`)
		},
		"no keys": func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, `{"issuer":"http://%s","jwks_uri":"http://%s/","keys":[]}`, r.Host, r.Host)
		},
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		},
		"a huge document":     func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"issuer":"`+strings.Repeat("x", 2<<20)) },
		"a broken connection": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		i := issuer.Start(t)
		v, key := newVerifier(i), i.NewKey(t, "a", jose.ES256)
		raw := key.Sign(t, i.Claims(workspace, ""))
		i.Fail(failure)
		if err := v.Check(t.Context()); !errors.Is(err, token.ErrUnavailable) || what == "another issuer" && !strings.Contains(err.Error(), "OIDC_ISSUER") {
			t.Errorf("%s: %v", what, err)
		}
		unavailable(t, v, raw)
		i.Fail(nil)
		unavailable(t, v, raw) // the provider was asked a moment ago and is not asked again
		v.Elapse(11 * time.Second)
		accepts(t, v, raw)
	}
}

func TestKnownKeysOutliveAnOutageForAnHour(t *testing.T) {
	t.Parallel()
	i := issuer.Start(t)
	v, key := newVerifier(i), i.NewKey(t, "a", jose.ES256)
	claims := i.Claims(workspace, "")
	claims["exp"] = time.Now().Add(3 * time.Hour).Unix()
	raw, other := key.Sign(t, claims), issuer.NewKey(t, "b", jose.ES256).Sign(t, claims)
	accepts(t, v, raw)
	i.Fail(status(503))
	v.Elapse(30 * time.Minute)
	accepts(t, v, raw)
	unavailable(t, v, other) // the key is unknown here, but the provider may have it by now
	v.Elapse(31 * time.Minute)
	unavailable(t, v, raw)
	i.Fail(nil)
	v.Elapse(11 * time.Second)
	accepts(t, v, raw)
}

func TestACallerThatLeavesDoesNotSpoilTheFetchForOthers(t *testing.T) {
	t.Parallel()
	i := issuer.Start(t)
	v, key := newVerifier(i), i.NewKey(t, "a", jose.ES256)
	raw := key.Sign(t, i.Claims(workspace, ""))
	asked, answer := make(chan struct{}), make(chan struct{})
	var once sync.Once
	i.Fail(func(w http.ResponseWriter, r *http.Request) {
		once.Do(func() { close(asked) })
		<-answer
		i.Fail(nil)
		fmt.Fprintf(w, `{"issuer":"http://%s","jwks_uri":"http://%s/keys"}`, r.Host, r.Host)
	})
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		_, err := v.Verify(ctx, raw)
		left <- err
	}()
	<-asked
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the caller that left: %v", err)
	}
	close(answer)
	accepts(t, v, raw)
}
