package format

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"memexport/internal/service/memory"
)

// CSV follows RFC 4180: a header row with memory.Columns, then one record per memory, with CRLF after
// each. As in Postgres's COPY, an empty cell is NULL and a quoted empty cell ("") is the empty
// string. Categories and metadata are JSON.
//
// The separator is the comma. A user may make a spreadsheet split the file at ; or | or tab instead.
// Then each of these characters, and each line break, begins a new cell even within a text, and a cell
// that begins with = + - @ is a formula. To prevent formulas, a text cell (memory, user_id, agent_id,
// session_id, priority, status, categories, metadata) gets an apostrophe
//   - at its start, if the cell begins with = + - @ ＝ ＋ － ＠, an apostrophe, white space, a control
//     character or an invisible character such as U+FEFF or U+200B,
//   - after each ; | tab CR LF in the cell, if the next character is one of = + - @ ' ".
//
// To undo this, drop the apostrophe at the start of a text cell and after every ; | tab CR LF in the
// cell: replace (^|[;|\t\r\n])' by $1. docs/security.md shows what spreadsheets do.
var CSV = &Format{
	Name:        "csv",
	ContentType: "text/csv; charset=utf-8",
	Extension:   "csv",
	Prefix:      strings.Join(memory.Columns, ",") + "\r\n",
	NewEncoder:  newText(csvBefore, csvText, csvAfter),
}

// csvBefore always quotes the text. A text may come in pieces, and the first piece does not show
// whether a later one needs quotes.
func csvBefore(dst []byte, m *memory.Memory) []byte {
	dst = append(append(dst, m.ID...), ',')
	if m.Text != nil {
		dst = append(dst, '"')
	}
	return dst
}

func csvText(dst, piece []byte, prev byte) []byte {
	if prev == 0 && beginsFormula(piece) {
		dst = append(dst, '\'')
	}
	return appendGuarded(dst, piece, prev)
}

func csvAfter(dst []byte, m *memory.Memory) []byte {
	if m.Text != nil {
		dst = append(dst, '"')
	}
	dst = appendCell(append(dst, ','), m.UserID)
	dst = appendCell(append(dst, ','), m.AgentID)
	dst = appendCell(append(dst, ','), m.SessionID)
	dst = appendCell(append(dst, ','), m.Priority)
	dst = appendCell(append(dst, ','), m.Status)
	dst = appendCell(append(dst, ','), m.Categories)
	dst = appendCell(append(dst, ','), m.Metadata)
	dst = append(append(dst, ','), m.WorkspaceID...)
	dst = strconv.AppendInt(append(dst, ','), m.AccessCount, 10)
	dst = append(dst, ',')
	if m.LastAccessedAt.Valid {
		dst = m.LastAccessedAt.Time.Append(dst)
	}
	dst = m.CreatedAt.Append(append(dst, ','))
	dst = m.UpdatedAt.Append(append(dst, ','))
	return append(dst, "\r\n"...)
}

// Cells with a space are quoted too, because some readers trim unquoted cells.
var cellStops = stopAt('"', ',', ' ')

// appendCell appends a text cell. It quotes the cell only if that is necessary.
func appendCell(dst, s []byte) []byte {
	if s == nil {
		return dst
	}
	quoted := len(s) == 0 || cellStops.run(s) < len(s)
	if quoted {
		dst = append(dst, '"')
	}
	if beginsFormula(s) {
		dst = append(dst, '\'')
	}
	dst = appendGuarded(dst, s, 0)
	if quoted {
		dst = append(dst, '"')
	}
	return dst
}

// beginsFormula reports whether the cell s needs an apostrophe in front. It returns true if s starts
// with an incomplete UTF-8 character, because the next piece may complete it to ＝ ＋ － or ＠.
func beginsFormula(s []byte) bool {
	if len(s) == 0 {
		return false
	}
	switch c := s[0]; {
	case c == '=', c == '+', c == '-', c == '@', c == '\'', c <= ' ', c == 0x7f:
		return true
	case c < utf8.RuneSelf:
		return false
	}
	switch r, size := utf8.DecodeRune(s); r {
	case '＝', '＋', '－', '＠':
		return true
	case utf8.RuneError:
		return size == 1
	default:
		return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r)
	}
}

// appendGuarded appends s with every quote doubled. It inserts an apostrophe wherever a reader that
// splits cells at ; or | or tab would find a cell that begins a formula. prev is the byte before s,
// or 0 at the start of a cell. s may be empty only at the start of a cell.
func appendGuarded(dst, s []byte, prev byte) []byte {
	if separates(prev) && isSign(s[0]) {
		dst = append(dst, '\'')
	}
	for i := 0; ; {
		if i += separatorRun(s[i:]) + 1; i >= len(s) {
			return appendDoubled(dst, s)
		}
		if separates(s[i-1]) && isSign(s[i]) {
			dst = append(appendDoubled(dst, s[:i]), '\'')
			s, i = s[i:], 0
		}
	}
}

// separates reports whether c ends a cell for a reader that splits cells at ; or | or tab instead of
// commas.
func separates(c byte) bool {
	return c == ';' || c == '|' || c == '\t' || c == '\r' || c == '\n'
}

// isSign reports whether c needs an apostrophe in front if c follows a separator: a byte for which the function
// separates returns true. A quote needs an apostrophe because a reader may drop the quote. An apostrophe needs
// another one because undoing the escapes would otherwise drop it.
func isSign(c byte) bool {
	return c == '=' || c == '+' || c == '-' || c == '@' || c == '\'' || c == '"'
}

// separatorRun returns the length of a prefix of s that contains no separator, see isSign. A longer such prefix
// may exist. separatorRun works like stops.run with the stops ; and |, and also checks the last eight bytes as
// one word, because most cells are short.
func separatorRun(s []byte) int {
	if len(s) < 8 {
		for i, c := range s {
			if separates(c) {
				return i
			}
		}
		return len(s)
	}
	rest := s
	for len(rest) > 8 {
		if hits := separatorHits(binary.LittleEndian.Uint64(rest)); hits != 0 {
			return len(s) - len(rest) + bits.TrailingZeros64(hits)/8
		}
		rest = rest[8:]
	}
	if hits := separatorHits(binary.LittleEndian.Uint64(s[len(s)-8:])); hits != 0 {
		return len(s) - 8 + bits.TrailingZeros64(hits)/8
	}
	return len(s)
}

// separatorHits returns a word that is zero if none of the eight bytes in word is a stop. Otherwise
// its lowest set bit lies in the first byte that is a stop.
func separatorHits(word uint64) uint64 {
	return ((word - ones*' ') | ((word ^ ones*';') - ones) | ((word ^ ones*'|') - ones)) &^ word & highs
}

// appendDoubled appends s and doubles every quote in it.
func appendDoubled(dst, s []byte) []byte {
	for {
		i := bytes.IndexByte(s, '"')
		if i < 0 {
			return append(dst, s...)
		}
		dst = append(append(dst, s[:i+1]...), '"')
		s = s[i+1:]
	}
}
