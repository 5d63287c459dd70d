package archive

// crcPolynomial is the polynomial of CRC-32 (IEEE 802.3) with its bits reversed, as gzip uses it.
const crcPolynomial = 0xedb88320

// crcPowers holds x^(2^i) modulo the polynomial for i from 0 to 31. For i above 31 the values repeat.
var crcPowers = func() (powers [32]uint32) {
	powers[0] = 1 << 30 // x
	for i := 1; i < len(powers); i++ {
		powers[i] = crcMultiply(powers[i-1], powers[i-1])
	}
	return powers
}()

// combineCRC returns the CRC-32 of two byte sequences joined together, given the CRC-32 of each and
// the length of the second in bytes. The algorithm is Mark Adler's crc32_combine in zlib.
func combineCRC(first, second uint32, secondLength int64) uint32 {
	shift := uint32(1 << 31)                                        // x^0
	for i, n := 3, uint64(secondLength); n != 0; i, n = i+1, n>>1 { // from 3, because a byte has 2^3 bits
		if n&1 != 0 {
			shift = crcMultiply(crcPowers[i%32], shift)
		}
	}
	return crcMultiply(shift, first) ^ second
}

// crcMultiply returns a*b modulo the polynomial.
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
