package format

import (
	"bytes"
	"strconv"

	"memexport/internal/service/memory"
)

// Markdown is made to be read, and still can be read back. Per memory it has a heading with
// created_at and id, a list of the other attributes that are not NULL, and the text as a block
// quote, which is absent when the text is NULL. No content can break out of its place:
//
// An attribute is a code span. Categories and metadata stand there as JSON. Any other value stands
// as it is, unless it is empty, has a control character or a backtick, begins with a space or a
// quote, or ends with a space: then it is a JSON string. The span's fence is longer than any run of
// backticks inside; no value begins or ends with a backtick or a space, so that none needs padding.
//
// Every line of the text, also an empty one, has "> " before it, where a line ends as in CommonMark:
// with LF, CR LF or CR. Every \, < and [ has a backslash before it. This leaves no HTML, of which an
// unclosed comment or <textarea> would swallow the rest of the page, and no definitions of link
// references or footnotes, which are global to a document. Other Markdown stays as it is.
//
// To read the text back, take the block quote without the line feed that closes it, strip "> " at
// its start and after every line end, and drop the first byte of every \\, \< and \[.
var Markdown = &Format{
	Name:        "markdown",
	ContentType: "text/markdown; charset=utf-8",
	Extension:   "md",
	Prefix:      "# Memories\n",
	before:      markdownBefore,
	text:        markdownText,
	after:       markdownAfter,
}

// The heading's values are a timestamp and a UUID, in which nothing means anything to Markdown.
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

// markdownText escapes and quotes the text. The mark after a CR has to wait for the next byte,
// since an LF would still belong to the same line end.
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

// appendTextItem appends an attribute unless it is NULL; the label ends with the first backtick.
func appendTextItem(dst []byte, label string, value []byte) []byte {
	if value == nil {
		return dst
	}
	dst = append(dst, label...)
	if n := len(value); n > 0 && spanStops.run(value) == n && value[0] != ' ' && value[0] != '"' && value[n-1] != ' ' {
		return append(append(dst, value...), "`\n"...)
	}
	fence := fenceLength(value) // escaping neither adds backticks nor joins them
	dst = appendJSONString(appendFence(dst, fence-1), value)
	return append(appendFence(dst, fence), '\n')
}

func appendJSONItem(dst []byte, label string, value []byte) []byte {
	if value == nil {
		return dst
	}
	fence := fenceLength(value)
	dst = append(appendFence(append(dst, label...), fence-1), value...)
	return append(appendFence(dst, fence), '\n')
}

// fenceLength returns one more than the longest run of backticks in s.
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
