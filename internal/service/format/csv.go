package format

import (
	"bytes"
	"strconv"
	"strings"

	"memexport/internal/service/memory"
)

// CSV follows RFC 4180: a header row of memory.Columns, then one record a memory, CRLF after each.
// As in Postgres's COPY, an empty cell is NULL and a quoted empty one ("") the empty string.
// Categories and metadata are JSON in a cell.
//
// A spreadsheet runs a cell as a formula when it begins with = + - @, also in their full-width
// forms, or with one of them behind a tab or line break. Text cells (memory, user_id, agent_id,
// session_id, priority, status, categories, metadata) that begin with one of = + - @ ＝ ＋ － ＠, a
// tab, CR, LF or an apostrophe therefore have one apostrophe put before them. To undo it, drop the
// first character of every text cell that begins with an apostrophe.
var CSV = &Format{
	Name:        "csv",
	ContentType: "text/csv; charset=utf-8",
	Extension:   "csv",
	Prefix:      strings.Join(memory.Columns, ",") + "\r\n",
	before:      csvBefore,
	text:        csvText,
	after:       csvAfter,
}

// csvBefore opens the text's quotes unseen, so that no piece has to be looked at for whether it
// needs them.
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

// Cells with a space are quoted too, since some readers trim.
var cellStops = stopAt('"', ',', ' ')

// appendCell appends a text cell, quoted only when it needs to be.
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

// beginsFormula reports whether s needs the apostrophe. A full-width sign that is cut off counts
// as one: better an apostrophe too many than a formula.
func beginsFormula(s []byte) bool {
	if len(s) == 0 {
		return false
	}
	switch s[0] {
	case '=', '+', '-', '@', '\t', '\r', '\n', '\'':
		return true
	case "＝"[0]: // the first byte of all four
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

// appendDoubled appends s with every quote doubled.
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
