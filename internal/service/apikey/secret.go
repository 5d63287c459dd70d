package apikey

import (
	"crypto/rand"
	"crypto/sha256"
	"strings"
)

// Prefixes of keys, for production and for tests. Secret scanners find leaked keys by their prefix.
const (
	LivePrefix = "msk_live_"
	TestPrefix = "msk_test_"
)

const (
	randomLength  = 52                                 // characters of a secret after its prefix: two results of rand.Text
	alphabet      = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567" // the characters that rand.Text uses
	displayLength = 6                                  // characters after the prefix that are stored as text and shown: they reveal 30 of the 260 bits
)

// newSecret returns a new secret with 260 random bits.
func newSecret(prefix string) string { return prefix + rand.Text() + rand.Text() }

// display returns the characters of a secret that may be shown.
func display(secret, prefix string) string { return secret[:len(prefix)+displayLength] }

// WellFormed reports whether a secret has the form of a key: one of the prefixes, then 52 base32
// letters and digits. All keys ever created have this form. The form has no checksum, because an
// attacker could compute a checksum as well.
func WellFormed(secret string) bool {
	for _, prefix := range []string{LivePrefix, TestPrefix} {
		if random, found := strings.CutPrefix(secret, prefix); found {
			return len(random) == randomLength && strings.Trim(random, alphabet) == ""
		}
	}
	return false
}

// hash returns the stored form of a secret. It needs no salt and no slow hash function, because a secret
// is 260 random bits and not a password.
func hash(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}
