package token

import "time"

// Elapse makes the verifier behave as if d had passed.
func (v *Verifier) Elapse(d time.Duration) {
	before := v.keys.now
	v.keys.now = func() time.Time { return before().Add(d) }
}
