package format

import (
	"encoding/binary"
	"math/bits"
)

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// stops are the three bytes below 0x80 at which a scan stops, each repeated over a word. It also
// stops at every control character below 0x20.
type stops struct{ a, b, c uint64 }

func stopAt(a, b, c byte) stops { return stops{ones * uint64(a), ones * uint64(b), ones * uint64(c)} }

// run returns how many bytes s begins with at which the scan does not stop. It looks at eight bytes
// at once: a subtraction sets the high bit of those that are smaller, or that became zero. It may
// also set it for a byte above such a one, never below, and only the lowest counts.
func (st stops) run(s []byte) int {
	rest := s
	for len(rest) >= 8 {
		word := binary.LittleEndian.Uint64(rest)
		hits := (word - ones*0x20) | ((word ^ st.a) - ones) | ((word ^ st.b) - ones) | ((word ^ st.c) - ones)
		if hits = hits &^ word & highs; hits != 0 {
			return len(s) - len(rest) + bits.TrailingZeros64(hits)/8
		}
		rest = rest[8:]
	}
	for i, c := range rest {
		if c < 0x20 || c == byte(st.a) || c == byte(st.b) || c == byte(st.c) {
			return len(s) - len(rest) + i
		}
	}
	return len(s)
}
