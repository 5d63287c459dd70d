package format

import (
	"encoding/binary"
	"math/bits"
)

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// stops holds the three bytes below 0x80 at which a scan stops, each repeated eight times. A scan
// also stops at every control character below 0x20.
type stops struct{ a, b, c uint64 }

func stopAt(a, b, c byte) stops {
	return stops{a: ones * uint64(a), b: ones * uint64(b), c: ones * uint64(c)}
}

// run returns the number of bytes at the start of s that precede the first stop.
//
// It checks eight bytes at a time. Each of the four subtractions sets the high bit of every byte that is
// a stop. A borrow may also set the high bits of bytes that follow a stop in s, but never of bytes that
// precede it. So the lowest high bit that is set belongs to the first stop. Bytes from 0x80 up are never
// stops, so &^ word clears their high bits.
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
