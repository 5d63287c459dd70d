package rowgroup

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/parquet-go/parquet-go"

	"memexport/internal/service/memory"
)

// unixEpoch is 1970-01-01, from which Parquet counts timestamps.
const unixEpoch memory.Time = -946_684_800_000_000

// clamp returns t in microseconds since 1970, and whether the result is exact. If t is before minTime
// or after maxTime, clamp returns that bound instead and exact is false.
func clamp(t memory.Time) (micros int64, exact bool) {
	inside := min(max(t, minTime), maxTime)
	return int64(inside - unixEpoch), inside == t
}

// parseUUID decodes a UUID in its 36-character form into dst, which has 16 bytes.
func parseUUID(dst, s []byte) error {
	if len(s) != 36 {
		return fmt.Errorf("a UUID has %d characters", len(s))
	}
	var digits [32]byte
	n := copy(digits[:], s[:8])
	n += copy(digits[n:], s[9:13])
	n += copy(digits[n:], s[14:18])
	n += copy(digits[n:], s[19:23])
	copy(digits[n:], s[24:])
	_, err := hex.Decode(dst, digits[:])
	return err
}

// These are the definition levels of a value in the column categories.
const (
	nullList = iota
	emptyList
	nullElement
	presentElement
)

// appendCategories appends the values of a JSON array of strings. If the array contains arrays,
// because Postgres's array is multidimensional, their elements are appended in order and flat is
// false.
func appendCategories(dst []parquet.Value, array []byte) (_ []parquet.Value, flat bool, err error) {
	const column = columnCategories
	if array == nil {
		return append(dst, parquet.Value{}.Level(0, nullList, column)), true, nil
	}
	start, depth := len(dst), 0
	flat = true
	add := func(v parquet.Value, definition int) {
		repetition := 0
		if len(dst) > start {
			repetition = 1
		}
		dst = append(dst, v.Level(repetition, definition, column))
	}
	for i := 0; i < len(array); {
		switch c := array[i]; c {
		case '[':
			depth++
			if depth > 1 {
				flat = false
			}
			i++
		case ']':
			depth--
			i++
		case ',', ' ':
			i++
		case 'n': // null
			add(parquet.Value{}, nullElement)
			i += len("null")
		case '"':
			end := i + 1
			escaped := false
			for end < len(array) && array[end] != '"' {
				if array[end] == '\\' {
					escaped = true
					end++
				}
				end++
			}
			if end >= len(array) {
				return dst, flat, errors.New("categories end within a string")
			}
			element := array[i+1 : end]
			if escaped {
				var s string
				if json.Unmarshal(array[i:end+1], &s) != nil { // the error is not returned, because its text would quote the category
					return dst, flat, errors.New("a category is not a JSON string")
				}
				element = []byte(s)
			}
			add(parquet.ByteArrayValue(element), presentElement)
			i = end + 1
		default:
			return dst, flat, errors.New("categories are not an array of strings")
		}
	}
	if depth != 0 {
		return dst, flat, errors.New("categories end within an array")
	}
	if len(dst) == start {
		dst = append(dst, parquet.Value{}.Level(0, emptyList, column))
	}
	return dst, flat, nil
}
