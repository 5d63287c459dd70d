package format

import (
	"bytes"
	"strconv"
	"strings"

	"memexport/internal/service/memory"
)

// CSV follows RFC 4180: a header row with memory.Columns, then one record per memory, with CRLF after
// each. As in Postgres's COPY, an empty cell is NULL and a quoted empty cell ("") is the empty
// string. Categories and metadata are JSON.
//
// A spreadsheet runs a cell as a formula when the cell begins with = + - @ or with one of their
// full-width forms, also when a tab or a line break precedes the sign. A text cell (memory, user_id,
// agent_id, session_id, priority, status, categories, metadata) that begins with one of
// = + - @ ＝ ＋ － ＠, a tab, CR, LF or an apostrophe therefore gets an apostrophe in front. To undo
// this, drop the first character of every text cell that begins with an apostrophe.
var CSV = &Format{
	Name:        "csv",
	ContentType: "text/csv; charset=utf-8",
	Extension:   "csv",
	Prefix:      strings.Join(memory.Columns, ",") + "\r\n",
	NewEncoder:  newText(csvBefore, csvText, csvAfter),
}

// csvBefore quotes the text whether or not the text needs it: when the text comes in pieces, a later
// piece may be the first that needs quotes.
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
	return appendDoubled(dst, piece)
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
	if quoted {
		return append(appendDoubled(dst, s), '"')
	}
	return append(dst, s...)
}

// beginsFormula reports whether the cell s needs an apostrophe in front. An incomplete full-width
// sign at the end of s counts as a sign: one apostrophe too many is better than a formula.
func beginsFormula(s []byte) bool {
	if len(s) == 0 {
		return false
	}
	switch s[0] {
	case '=', '+', '-', '@', '\t', '\r', '\n', '\'':
		return true
	case "＝"[0]: // all four full-width signs begin with this byte
		if len(s) < len("＝") {
			return true
		}
		switch string(s[:len("＝")]) {
		case "＝", "＋", "－", "＠":
			return true
		}
	}
	return false
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
