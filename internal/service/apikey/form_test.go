package apikey_test

import (
	"errors"
	"strings"
	"testing"

	"memexport/internal/service/apikey"
)

func TestOnlyAWellFormedKeyCostsAQuery(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	secret, _ := create(t, s, tenant, apikey.ReadExports)
	db.Close() // from now on every query fails, with another error than ErrUnknown
	random := secret[len(apikey.LivePrefix):]
	for _, formed := range []string{secret, apikey.TestPrefix + random, apikey.LivePrefix + strings.Repeat("7", 52)} {
		if _, err := s.Lookup(t.Context(), formed); err == nil || errors.Is(err, apikey.ErrUnknown) || !apikey.WellFormed(formed) {
			t.Errorf("Lookup(%q): %v, WellFormed: %t", formed, err, apikey.WellFormed(formed))
		}
	}
	for _, malformed := range []string{"", "x", random, "msk_", apikey.LivePrefix, secret[:len(secret)-1], secret + "A", " " + secret, secret + " ",
		strings.ToLower(secret), "MSK_LIVE_" + random, "msk_prod_" + random, apikey.LivePrefix + apikey.TestPrefix + random[9:],
		secret[:20] + "0" + secret[21:], secret[:20] + "\x00" + secret[21:], secret[:20] + "é" + secret[22:], strings.Repeat(secret, 1000)} {
		if _, err := s.Lookup(t.Context(), malformed); !errors.Is(err, apikey.ErrUnknown) || apikey.WellFormed(malformed) {
			t.Errorf("Lookup(%q): %v, WellFormed: %t", malformed, err, apikey.WellFormed(malformed))
		}
	}
}

// FuzzWellFormed compares WellFormed with a second implementation.
func FuzzWellFormed(f *testing.F) {
	for _, seed := range []string{"", "msk_live_", "msk_test_" + strings.Repeat("A", 52), "msk_live_" + strings.Repeat("2", 51), "msk_live_" + strings.Repeat("=", 52)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, secret string) {
		want := len(secret) == 61 && (secret[:9] == "msk_live_" || secret[:9] == "msk_test_")
		if want {
			for _, c := range []byte(secret[9:]) {
				want = want && (c >= 'A' && c <= 'Z' || c >= '2' && c <= '7')
			}
		}
		if apikey.WellFormed(secret) != want {
			t.Errorf("WellFormed(%q) = %t", secret, !want)
		}
	})
}

func TestANameHasOnlyPrintableCharacters(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	for _, name := range []string{"n", "nightly backup", `"quoted" \t`, "Sicherung für Zürich", "夜間バックアップ", "גיבוי", "😀", strings.Repeat("é", 100)} {
		if _, key, err := s.Create(t.Context(), tenant, name, apikey.LivePrefix, apikey.Permissions); err != nil || key.Name != name {
			t.Errorf("%q: %q, %v", name, key.Name, err)
		}
	}
	for name, reason := range map[string]string{
		"": "is empty", "  ": "is empty", strings.Repeat("é", 101): "101 characters", "\xff": "UTF-8",
		"a\nb": "U+000A", "a\tb": "U+0009", "a\x1b[2Jb": "U+001B", "a\x00b": "U+0000", "a\x7fb": "U+007F", "a\u0085b": "U+0085", "a\u009bb": "U+009B",
		"a\u202eb": "U+202E", "a\u2066b": "U+2066", "a\u200fb": "U+200F", "a\u061cb": "U+061C", "a\u200bb": "U+200B", "a\ufeffb": "U+FEFF",
		"a\u2028b": "U+2028", "a\u2029b": "U+2029", "a\u00adb": "U+00AD", "a\U000e0041b": "U+E0041",
	} {
		secret, _, err := s.Create(t.Context(), tenant, name, apikey.LivePrefix, apikey.Permissions)
		if err == nil || secret != "" || !strings.Contains(err.Error(), reason) {
			t.Errorf("%q: %v, want %q", name, err, reason)
		}
	}
}
