package parse

import (
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"regexp"
	"slices"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/text"
)

var (
	heading = regexp.MustCompile(`^## (\S+) · (\S+)\n\n`)
	item    = regexp.MustCompile("^- \\*\\*(\\w+):\\*\\* (`+)")
)

// parseMarkdown parses a file by the rules that the documentation of the format gives. Then it
// checks the structure of the document with a Markdown parser.
func parseMarkdown(file []byte) ([]Memory, error) {
	rest, ok := strings.CutPrefix(string(file), "# Memories\n")
	if !ok {
		return nil, errors.New("the file has no title")
	}
	memories := []Memory{}
	quotes := 0
	for rest != "" {
		var m Memory
		rest, ok = strings.CutPrefix(rest, "\n")
		head := heading.FindStringSubmatch(rest)
		if !ok || head == nil {
			return nil, fmt.Errorf("memory %d does not begin with a heading: %.80q", len(memories), rest)
		}
		rest = rest[len(head[0]):]
		m.Created, m.ID = &head[1], head[2]
		var err error
		if rest, err = parseItems(&m, rest); err != nil {
			return nil, fmt.Errorf("memory %d: %w", len(memories), err)
		}
		if quote, ok := strings.CutPrefix(rest, "\n> "); ok {
			quotes++
			text, after, err := parseQuote(quote)
			if err != nil {
				return nil, fmt.Errorf("memory %d: %w", len(memories), err)
			}
			m.Text, rest = &text, after
		}
		memories = append(memories, m)
	}
	return memories, checkDocument(file, len(memories), quotes)
}

// parseItems parses the list of a memory's attributes. It returns the text after the list.
func parseItems(m *Memory, rest string) (string, error) {
	for {
		label := item.FindStringSubmatch(rest)
		if label == nil {
			return rest, nil
		}
		name, fence := label[1], label[2]
		value, after, found := strings.Cut(rest[len(label[0]):], fence+"\n")
		if !found || strings.Contains(value, fence) || strings.ContainsAny(value, "\r\n") {
			return "", fmt.Errorf("%s is not a code span: %.80q", name, rest)
		}
		rest = after
		if strings.HasPrefix(value, `"`) && name != "metadata" {
			if err := json.Unmarshal([]byte(value), &value); err != nil {
				return "", fmt.Errorf("%s: %w", name, err)
			}
		}
		if m.target(name) == nil {
			return "", fmt.Errorf("there is no column %s", name)
		}
		if err := m.set(name, &value); err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
	}
}

// parseQuote parses a block quote, without the "> " at its beginning. It returns the content of the
// quote and the text after the quote.
func parseQuote(s string) (content, rest string, err error) {
	var b strings.Builder
	for {
		i := strings.IndexAny(s, "\\<[\r\n")
		if i < 0 {
			return "", "", errors.New("a quote has no end")
		}
		b.WriteString(s[:i])
		c := s[i]
		s = s[i+1:]
		switch {
		case c == '\\':
			if s == "" || !strings.Contains(`\[`, s[:1]) {
				return "", "", fmt.Errorf("a backslash before %.10q", s)
			}
			b.WriteByte(s[0])
			s = s[1:]
		case c == '<' || c == '[':
			return "", "", fmt.Errorf("a bare %c", c)
		case c == '\r' && strings.HasPrefix(s, "\n"):
			// This CR belongs to a CRLF in the memory's text, or it is the last character of that
			// text. In the second case, the LF ends the block quote.
			b.WriteByte(c)
		case strings.HasPrefix(s, "> "):
			b.WriteByte(c)
			s = s[2:]
		case c == '\r':
			return "", "", errors.New("a CR without \"> \" after it")
		default:
			return html.UnescapeString(b.String()), s, nil
		}
	}
}

// checkDocument returns an error unless the document has a title and, for every memory, a heading,
// a list, and a quote if the memory has a text. It also returns an error if text of a memory has
// become HTML, a link or an image.
func checkDocument(file []byte, memories, quotes int) error {
	document := goldmark.DefaultParser().Parse(text.NewReader(file))
	seen := map[ast.NodeKind]int{}
	for node := document.FirstChild(); node != nil; node = node.NextSibling() {
		seen[node.Kind()]++
	}
	if seen[ast.KindHeading] != memories+1 || seen[ast.KindList] != memories || seen[ast.KindBlockquote] != quotes || len(seen) > 3 {
		return fmt.Errorf("%d memories, %d of them with text, make a document of %v", memories, quotes, seen)
	}
	return ast.Walk(document, func(node ast.Node, _ bool) (ast.WalkStatus, error) {
		if slices.Contains([]ast.NodeKind{ast.KindHTMLBlock, ast.KindRawHTML, ast.KindLink, ast.KindAutoLink, ast.KindImage}, node.Kind()) {
			return ast.WalkStop, fmt.Errorf("a part of a memory has become %s", node.Kind())
		}
		return ast.WalkContinue, nil
	})
}
