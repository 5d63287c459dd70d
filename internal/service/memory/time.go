package memory

import (
	"math"
	"strconv"
	"time"
)

// Time is an instant as Postgres stores a timestamptz: microseconds since 2000-01-01 00:00 UTC.
// The largest and the smallest value are Postgres's infinity and -infinity.
type Time int64

// Special values of Time.
const (
	Infinity         Time = math.MaxInt64
	NegativeInfinity Time = math.MinInt64

	// maxFinite is the last microsecond of the year 294276, Postgres's largest finite timestamp.
	maxFinite Time = 9_223_371_331_199_999_999

	// postgresEpoch is 2000-01-01 in Unix time, in seconds.
	postgresEpoch = 946_684_800
)

// NullTime is a Time that may be NULL.
type NullTime struct {
	Time  Time
	Valid bool
}

// TimeOf converts t. It rounds down to whole microseconds, the precision of Postgres.
func TimeOf(t time.Time) Time {
	return Time((t.Unix()-postgresEpoch)*1_000_000 + int64(t.Nanosecond())/1000)
}

// Std converts t to a time.Time in UTC. The result is meaningless for Infinity and NegativeInfinity,
// which have no counterpart in time.Time.
func (t Time) Std() time.Time {
	return time.Unix(int64(t)/1_000_000+postgresEpoch, int64(t)%1_000_000*1000).UTC()
}

// Append appends t in RFC 3339 format, in UTC and with six decimals (2026-01-15T10:30:00.000000Z).
// Infinity and NegativeInfinity are written as Postgres writes them. A year after 9999 or before 0
// has a sign and six digits, as in ISO 8601.
func (t Time) Append(dst []byte) []byte {
	switch t {
	case Infinity:
		return append(dst, "infinity"...)
	case NegativeInfinity:
		return append(dst, "-infinity"...)
	}
	days, micros := int64(t)/86_400_000_000, int64(t)%86_400_000_000
	if micros < 0 {
		days, micros = days-1, micros+86_400_000_000
	}
	year, month, day := civil(days + 10957) // 10957 days from 1970-01-01 to 2000-01-01
	if year < 0 || year > 9999 {
		sign := byte('+')
		if year < 0 {
			sign, year = '-', -year
		}
		dst = append(dst, sign)
		dst = appendDigits(dst, year/10_000, 2) // the last four digits are written below
		year %= 10_000
	}
	seconds, fraction := uint32(micros/1_000_000), uint32(micros%1_000_000)
	const layout = "yyyy-mm-ddThh:mm:ss.ffffffZ"
	dst = append(dst, layout...)
	b := dst[len(dst)-len(layout):][:len(layout)]
	put2(b[0:], uint32(year/100))
	put2(b[2:], uint32(year%100))
	put2(b[5:], uint32(month))
	put2(b[8:], uint32(day))
	put2(b[11:], seconds/3600)
	put2(b[14:], seconds/60%60)
	put2(b[17:], seconds%60)
	put2(b[20:], fraction/10_000)
	put2(b[22:], fraction/100%100)
	put2(b[24:], fraction%100)
	return dst
}

// pairs holds the numbers from 00 to 99, two digits each.
const pairs = "00010203040506070809" + "10111213141516171819" + "20212223242526272829" + "30313233343536373839" + "40414243444546474849" +
	"50515253545556575859" + "60616263646566676869" + "70717273747576777879" + "80818283848586878889" + "90919293949596979899"

// put2 writes n, which is less than 100, with two digits.
func put2(dst []byte, n uint32) {
	_ = dst[1]
	dst[0], dst[1] = pairs[2*n], pairs[2*n+1]
}

// String returns t in the format of Append.
func (t Time) String() string { return string(t.Append(nil)) }

// literal returns t in a format that Postgres reads back as the same value, whatever the year.
func (t Time) literal() string {
	if t == Infinity || t == NegativeInfinity {
		return t.String()
	}
	std := t.Std()
	year, era := std.Year(), ""
	if year < 1 {
		year, era = 1-year, " BC"
	}
	return string(appendDigits(nil, int64(year), 4)) + std.Format("-01-02 15:04:05.000000+00") + era
}

// civil returns the proleptic Gregorian date of a day counted from 1970-01-01. It is correct for every
// day of a finite Time. The algorithm is from Cassio Neri and Lorenz Schneider, "Euclidean affine
// functions and their application to calendar algorithms".
func civil(days int64) (year, month, day int64) {
	const cycles = 740                           // cycles of 400 years, added so that no day is negative
	n := uint32(days+719468+cycles*146097)*4 + 3 // quarter days since 0000-03-01, plus the added cycles
	century, n := n/146097, n%146097|3
	product := 2939745 * uint64(n)
	yearOfCentury, dayOfYear := uint32(product>>32), uint32(product)/2939745/4
	n = 2141*dayOfYear + 197913
	month, day = int64(n>>16), int64(n&0xffff/2141+1)
	year = int64(100*century+yearOfCentury) - 400*cycles
	if dayOfYear >= 306 { // years are counted from March; January and February are the last months
		year, month = year+1, month-12
	}
	return year, month, day
}

// appendDigits appends n, which must not be negative, with at least width digits.
func appendDigits(dst []byte, n int64, width int) []byte {
	for digits := int64(10); width > 1; width-- {
		if n < digits {
			dst = append(dst, '0')
		}
		digits *= 10
	}
	return strconv.AppendInt(dst, n, 10)
}
