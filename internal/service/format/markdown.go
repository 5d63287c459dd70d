package format

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"strconv"

	"memexport/internal/service/memory"
)

// Markdown is for people to read, and programs can read it back too. Each memory has a heading with
// created_at and id, a list of the other attributes that are not NULL, and the text as a block
// quote. The quote is absent if the text is NULL. Nothing in a memory can change the structure of
// the document:
//
// An attribute's value is a code span. Categories and metadata are JSON. Any other value is written
// unchanged, or as a JSON string if it is empty, contains a control character or a backtick, begins
// with a space or a quote, or ends with a space. The fence around the span is longer than every run
// of backticks in the value. No value begins or ends with a backtick or a space, so no value needs
// padding.
//
// Every line of the text begins with "> ", even an empty line. As in CommonMark, a line ends with
// LF, CRLF or CR. Some characters are escaped:
//   - \ and [ have a backslash in front. This prevents links, images, and definitions of link
//     references and footnotes, which would apply to the whole document.
//   - < is written as &lt;. This prevents HTML. For example, an unclosed comment or <textarea> would
//     hide the rest of the page. An & before a letter or # is written as &amp;, so that a reader shows
//     "&copy;" in a text as it is and not as a copyright sign.
//   - A / after : is written as &#47;, and a w after a w as &#119; (W as &#87;). Otherwise
//     readers of GitHub's Markdown would turn a bare address into a link, and would show the escapes
//     in that link.
//
// Other Markdown is unchanged. Markdown has no escapes in code spans and code blocks, so readers show
// the backslashes and entities there.
//
// To read the text back, take the block quote without the line feed that ends it, remove "> " at
// its start and after every line end, replace the entities as for HTML, and drop the first byte of
// every \\ and \[.
var Markdown = &Format{
	Name:        "markdown",
	ContentType: "text/markdown; charset=utf-8",
	Extension:   "md",
	Prefix:      "# Memories\n",
	NewEncoder:  newText(markdownBefore, markdownText, markdownAfter),
}

// markdownBefore does not escape the values in the heading: neither a timestamp nor a UUID contains
// a character that is special in Markdown.
func markdownBefore(dst []byte, m *memory.Memory) []byte {
	dst = m.CreatedAt.Append(append(dst, "\n## "...))
	dst = append(append(dst, " · "...), m.ID...)
	dst = append(dst, "\n\n"...)
	dst = appendTextItem(dst, "- **user_id:** `", m.UserID)
	dst = appendTextItem(dst, "- **agent_id:** `", m.AgentID)
	dst = appendTextItem(dst, "- **session_id:** `", m.SessionID)
	dst = appendTextItem(dst, "- **priority:** `", m.Priority)
	dst = appendTextItem(dst, "- **status:** `", m.Status)
	dst = appendJSONItem(dst, "- **categories:** `", m.Categories)
	dst = appendJSONItem(dst, "- **metadata:** `", m.Metadata)
	dst = append(append(dst, "- **workspace_id:** `"...), m.WorkspaceID...)
	dst = strconv.AppendInt(append(dst, "`\n- **access_count:** `"...), m.AccessCount, 10)
	if m.LastAccessedAt.Valid {
		dst = m.LastAccessedAt.Time.Append(append(dst, "`\n- **last_accessed_at:** `"...))
	}
	dst = m.UpdatedAt.Append(append(dst, "`\n- **updated_at:** `"...))
	dst = append(dst, "`\n"...)
	if m.Text != nil {
		dst = append(dst, "\n> "...)
	}
	return dst
}

// markdownText escapes and quotes the text. An escape that depends on two characters is written when
// the second one is read, because a piece may end between the two.
func markdownText(dst, piece []byte, prev byte) []byte {
	for {
		for len(piece) > 0 && (prev|0x20 == 'w' && piece[0]|0x20 == 'w' || prev == ':' && piece[0] == '/') {
			prev = piece[0]
			dst = append(strconv.AppendInt(append(dst, "&#"...), int64(prev), 10), ';')
			piece = piece[1:]
		}
		if len(piece) == 0 {
			return dst
		}
		switch {
		case prev == '\r' && piece[0] != '\n':
			dst = append(dst, "> "...)
		case prev == '&' && (piece[0] == '#' || 'a' <= piece[0]|0x20 && piece[0]|0x20 <= 'z'):
			dst = append(dst, "amp;"...)
		}
		n := quoteRun(piece)
		dst = append(dst, piece[:n]...)
		if n == len(piece) {
			return dst
		}
		prev = piece[n]
		piece = piece[n+1:]
		switch prev {
		case '\n':
			dst = append(dst, "\n> "...)
		case '<':
			dst = append(dst, "&lt;"...)
		case '\\', '[':
			dst = append(dst, '\\', prev)
		default:
			dst = append(dst, prev)
		}
	}
}

// quoteRun returns the length of a prefix of s that needs no escapes; a longer such prefix may exist.
// Like stops.run, it checks eight bytes at a time. It stops at control characters, at < & : and at the
// bytes from X to _, which include [ and \. It also stops at a w or W if the next byte is, or may be, a
// w or W too.
func quoteRun(s []byte) int {
	rest := s
	for len(rest) >= 8 {
		word := binary.LittleEndian.Uint64(rest)
		w := (word | ones*0x20) ^ ones*'w'
		hits := (word - ones*' ') | ((word ^ ones*'<') - ones) | ((word ^ ones*'&') - ones) | ((word ^ ones*':') - ones) |
			((word&^(ones*7) ^ ones*'X') - ones) | ((w | w>>8) - ones)
		if hits = hits &^ word & highs; hits != 0 {
			return len(s) - len(rest) + bits.TrailingZeros64(hits)/8
		}
		rest = rest[8:]
	}
	for i, c := range rest {
		if c < ' ' || c == '<' || c == '&' || c == ':' || c == '[' || c == '\\' || c|0x20 == 'w' {
			return len(s) - len(rest) + i
		}
	}
	return len(s)
}

func markdownAfter(dst []byte, m *memory.Memory) []byte {
	if m.Text != nil {
		dst = append(dst, '\n')
	}
	return dst
}

var spanStops = stopAt('`', '`', '`')

// appendTextItem appends an attribute unless it is NULL. The label ends with the first backtick of
// the fence.
func appendTextItem(dst []byte, label string, value []byte) []byte {
	if value == nil {
		return dst
	}
	dst = append(dst, label...)
	if n := len(value); n > 0 && spanStops.run(value) == n && value[0] != ' ' && value[0] != '"' && value[n-1] != ' ' {
		return append(append(dst, value...), "`\n"...)
	}
	fence := fenceLength(value) // the JSON string contains the same runs of backticks as value
	dst = appendJSONString(appendFence(dst, fence-1), value)
	return append(appendFence(dst, fence), '\n')
}

// appendJSONItem is like appendTextItem, but value is JSON already.
func appendJSONItem(dst []byte, label string, value []byte) []byte {
	if value == nil {
		return dst
	}
	fence := fenceLength(value)
	dst = append(appendFence(append(dst, label...), fence-1), value...)
	return append(appendFence(dst, fence), '\n')
}

// fenceLength returns the length of the longest run of backticks in s, plus one.
func fenceLength(s []byte) int {
	longest := 0
	for {
		i := bytes.IndexByte(s, '`')
		if i < 0 {
			return longest + 1
		}
		run := 1
		for i+run < len(s) && s[i+run] == '`' {
			run++
		}
		longest = max(longest, run)
		s = s[i+run:]
	}
}

func appendFence(dst []byte, length int) []byte {
	for range length {
		dst = append(dst, '`')
	}
	return dst
}
