package format

import (
	"bytes"
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
// Every line of the text begins with "> ", also an empty line. As in CommonMark, a line ends with
// LF, CR LF or CR. Every \, < and [ has a backslash in front. This prevents HTML, because an unclosed
// comment or <textarea> would hide the rest of the page, and it prevents definitions of link
// references and footnotes, because they apply to the whole document. Other Markdown is unchanged.
//
// To read the text back, take the block quote without the line feed that ends it, remove "> " at
// its start and after every line end, and drop the first byte of every \\, \< and \[.
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

var quoteStops = stopAt('\\', '<', '[')

// markdownText escapes and quotes the text. After a CR it writes "> " only when it has seen the next
// byte, because an LF would belong to the same line end.
func markdownText(dst, piece []byte, prev byte) []byte {
	if prev == '\r' && len(piece) > 0 && piece[0] != '\n' {
		dst = append(dst, "> "...)
	}
	for {
		n := quoteStops.run(piece)
		dst = append(dst, piece[:n]...)
		if n == len(piece) {
			return dst
		}
		c := piece[n]
		piece = piece[n+1:]
		switch {
		case c == '\n':
			dst = append(dst, "\n> "...)
		case c == '\r' && len(piece) > 0 && piece[0] != '\n':
			dst = append(dst, "\r> "...)
		case c < ' ':
			dst = append(dst, c)
		default:
			dst = append(dst, '\\', c)
		}
	}
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
	fence := fenceLength(value) // the same for the JSON string: escaping does not change runs of backticks
	dst = appendJSONString(appendFence(dst, fence-1), value)
	return append(appendFence(dst, fence), '\n')
}

// appendJSONItem is appendTextItem for a value that is JSON already.
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
