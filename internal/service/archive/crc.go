package archive

// crcPolynomial is that of CRC-32 (IEEE 802.3) with its bits reversed, as gzip has it.
const crcPolynomial = 0xedb88320

// crcPowers are x^(2^i) modulo the polynomial, for i from 0 to 31; they repeat from there on.
var crcPowers = func() (powers [32]uint32) {
	powers[0] = 1 << 30 // x
	for i := 1; i < len(powers); i++ {
		powers[i] = crcMultiply(powers[i-1], powers[i-1])
	}
	return powers
}()

// combineCRC is the CRC-32 of two stretches of bytes one after the other, from that of each and the
// length of the second (Mark Adler, zlib's crc32_combine).
func combineCRC(first, second uint32, secondLength int64) uint32 {
	shift := uint32(1 << 31)                                        // x^0
	for i, n := 3, uint64(secondLength); n != 0; i, n = i+1, n>>1 { // 2^3 bits a byte
		if n&1 != 0 {
			shift = crcMultiply(crcPowers[i%32], shift)
		}
	}
	return crcMultiply(shift, first) ^ second
}

// crcMultiply is a*b modulo the polynomial.
func crcMultiply(a, b uint32) (product uint32) {
	for bit := uint32(1 << 31); bit != 0; bit >>= 1 {
		if a&bit != 0 {
			product ^= b
		}
		if b&1 != 0 {
			b = b>>1 ^ crcPolynomial
		} else {
			b >>= 1
		}
	}
	return product
}
