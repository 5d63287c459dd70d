package memory

import "bytes"

// appendArray appends a Postgres array literal of text, such as {a,"b \"c\"",NULL}, as a JSON array.
// Postgres quotes every element that contains a comma, brace, quote, backslash or white space, so an
// unquoted element ends at the next comma or brace.
func appendArray(dst, literal []byte) []byte {
	if bytes.HasPrefix(literal, []byte("[")) { // explicit bounds: [2:3]={a,b}
		_, literal, _ = bytes.Cut(literal, []byte("="))
	}
	for i := 0; i < len(literal); {
		switch c := literal[i]; c {
		case '{':
			dst = append(dst, '[')
			i++
		case '}':
			dst = append(dst, ']')
			i++
		case ',':
			dst = append(dst, ',')
			i++
		case '"':
			dst = append(dst, '"')
			for i++; literal[i] != '"'; i++ {
				if literal[i] == '\\' {
					i++
				}
				dst = AppendJSONByte(dst, literal[i])
			}
			dst = append(dst, '"')
			i++
		default:
			end := i
			for literal[end] != ',' && literal[end] != '}' {
				end++
			}
			if string(literal[i:end]) == "NULL" {
				dst = append(dst, "null"...)
			} else {
				dst = append(dst, '"')
				for _, b := range literal[i:end] {
					dst = AppendJSONByte(dst, b)
				}
				dst = append(dst, '"')
			}
			i = end
		}
	}
	return dst
}

const hexDigits = "0123456789abcdef"

// AppendJSONByte appends one byte of a UTF-8 string inside a JSON string, escaped if RFC 8259,
// section 7, requires it.
func AppendJSONByte(dst []byte, b byte) []byte {
	if b >= 0x20 && b != '"' && b != '\\' {
		return append(dst, b)
	}
	switch b {
	case '"', '\\':
		return append(dst, '\\', b)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&15])
}
