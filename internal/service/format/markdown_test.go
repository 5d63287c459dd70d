package format_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	rendererhtml "github.com/yuin/goldmark/renderer/html"
	"github.com/yuin/goldmark/text"

	"memexport/internal/service/format"
	"memexport/internal/service/memory"
)

// parseMarkdown reads headings and attributes with a CommonMark parser. It reads texts from the source,
// in the way that the comment on Markdown describes.
func parseMarkdown(file []byte) ([]row, error) {
	rows, quotes, err := parseBlocks(goldmark.DefaultParser(), file, true)
	if err != nil {
		return nil, err
	}
	// A lone CR ends a line in CommonMark, but not in goldmark. Test both readings.
	lines := regexp.MustCompile(`\r\n?`).ReplaceAll(file, []byte("\n"))
	extended := goldmark.New(goldmark.WithExtensions(extension.GFM, extension.Footnote, extension.DefinitionList)).Parser()
	for _, other := range []struct {
		parser parser.Parser
		file   []byte
		plain  bool
	}{
		{parser: goldmark.DefaultParser(), file: lines, plain: true},
		{parser: extended, file: file, plain: false},
		{parser: extended, file: lines, plain: false},
	} {
		again, _, err := parseBlocks(other.parser, other.file, other.plain)
		if err != nil || fmt.Sprint(again) != fmt.Sprint(rows) {
			return nil, fmt.Errorf("another parser reads %v, %w", again, err)
		}
	}
	chunks := strings.Split(strings.TrimSuffix(string(file), "\n"), "\n\n## ")[1:]
	if len(chunks) != len(rows) {
		return nil, fmt.Errorf("%d headings in the source, %d in the document", len(chunks), len(rows))
	}
	for i, chunk := range chunks {
		_, quote, found := strings.Cut(chunk, "\n\n> ")
		if found != quotes[i] {
			return nil, fmt.Errorf("memory %d: a quote in the source: %v, in the document: %v", i, found, quotes[i])
		}
		if found {
			quote = lineStart.ReplaceAllString(quote, "$1")
			rows[i]["memory"] = escape.ReplaceAllString(html.UnescapeString(quote), "$1")
		}
	}
	return rows, nil
}

var (
	lineStart = regexp.MustCompile(`(\r\n|\r|\n)> `)
	escape    = regexp.MustCompile(`\\([\\\[])`)
)

// parseBlocks requires that the document is a title and, for each memory, a heading, a list and at
// most one quote. It fails if the document contains HTML, a link or an image. If plain is false, bare
// addresses may become links, as in GFM.
func parseBlocks(p parser.Parser, source []byte, plain bool) (rows []row, quotes []bool, err error) {
	context := parser.NewContext()
	document := p.Parse(text.NewReader(source), parser.WithContext(context))
	if len(context.References()) > 0 {
		return nil, nil, errors.New("a memory defines a link reference")
	}
	err = ast.Walk(document, func(n ast.Node, _ bool) (ast.WalkStatus, error) {
		switch n.Kind() {
		case ast.KindHTMLBlock, ast.KindRawHTML, ast.KindLink, ast.KindImage, ast.KindAutoLink:
			if plain || n.Kind() != ast.KindAutoLink {
				return ast.WalkStop, fmt.Errorf("a memory makes a %s", n.Kind())
			}
		}
		return ast.WalkContinue, nil
	})
	if err != nil {
		return nil, nil, err
	}
	block := document.FirstChild()
	if title, ok := block.(*ast.Heading); !ok || title.Level != 1 || content(title, source) != "Memories" {
		return nil, nil, errors.New("the title is missing")
	}
	for block = block.NextSibling(); block != nil; block = block.NextSibling() {
		heading, ok := block.(*ast.Heading)
		if !ok || heading.Level != 2 {
			return nil, nil, fmt.Errorf("found a %s instead of a heading", block.Kind())
		}
		r := row{}
		r["created_at"], r["id"], ok = strings.Cut(content(heading, source), " · ")
		list, isList := heading.NextSibling().(*ast.List)
		if !ok || !isList || !list.IsTight {
			return nil, nil, errors.New("a heading has no id or no list")
		}
		for item := list.FirstChild(); item != nil; item = item.NextSibling() {
			if err := parseItem(r, item, source); err != nil {
				return nil, nil, err
			}
		}
		block = list
		quote, isQuote := list.NextSibling().(*ast.Blockquote)
		if isQuote {
			block = quote
		}
		rows, quotes = append(rows, r), append(quotes, isQuote)
	}
	return rows, quotes, nil
}

// parseItem reads "**name:** `value`".
func parseItem(r row, item ast.Node, source []byte) error {
	line := item.FirstChild()
	if line == nil || line.Kind() != ast.KindTextBlock || line.ChildCount() != 3 || line.NextSibling() != nil {
		return fmt.Errorf("the item %q is not an attribute", item.Lines().Value(source))
	}
	label, isLabel := line.FirstChild().(*ast.Emphasis)
	span, isSpan := line.LastChild().(*ast.CodeSpan)
	if !isLabel || !isSpan || label.Level != 2 {
		return fmt.Errorf("the item %q is not an attribute", line.Lines().Value(source))
	}
	name, value := strings.TrimSuffix(content(label, source), ":"), content(span, source)
	switch name {
	case "categories", "metadata":
		if !json.Valid([]byte(value)) {
			return fmt.Errorf("%s is %q", name, value)
		}
	default:
		if strings.HasPrefix(value, `"`) {
			if err := json.Unmarshal([]byte(value), &value); err != nil {
				return fmt.Errorf("%s is %q: %w", name, value, err)
			}
		}
	}
	if _, twice := r[name]; twice {
		return fmt.Errorf("the attribute %s appears twice", name)
	}
	r[name] = value
	return nil
}

// content returns the text in n. Any node other than text appears as its kind in angle brackets.
func content(n ast.Node, source []byte) string {
	var b strings.Builder
	for child := n.FirstChild(); child != nil; child = child.NextSibling() {
		if t, ok := child.(*ast.Text); ok {
			b.Write(t.Segment.Value(source))
		} else {
			fmt.Fprintf(&b, "<%s>", child.Kind())
		}
	}
	return b.String()
}

func TestMarkdownLooksAsDocumented(t *testing.T) {
	m := sample()
	m.Text, m.UserID, m.AgentID = []byte("a <b>[x]\\ & &c\r\n\n# c\rd\n"), []byte("``x"), []byte{}
	m.SessionID, m.LastAccessedAt = nil, memory.NullTime{}
	want := `
## 2026-01-15T10:30:00.123456Z · 0192f0c1-7a3e-7c44-9b1d-3f5a6e7d8c90

- **user_id:** ` + "```\"``x\"```" + `
- **agent_id:** ` + "`\"\"`" + `
- **priority:** ` + "`HIGH`" + `
- **status:** ` + "`COMPLETED`" + `
- **categories:** ` + "`[\"preferences\",\"travel\"]`" + `
- **metadata:** ` + "`{\"source\": \"chat\", \"confidence\": 0.93}`" + `
- **workspace_id:** ` + "`5d2c9c1e-0f5b-4a57-8a0e-1f9f6f1f2a11`" + `
- **access_count:** ` + "`7`" + `
- **updated_at:** ` + "`2026-01-16T10:30:00.123456Z`" + `

> a &lt;b>\[x]\\ & &amp;c` + "\r\n> \n> # c\r> d\n> \n"
	if got := string(appendWhole(format.Markdown, nil, &m)); got != want {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

func TestMarkdownWritesPlainValuesUnchangedAndOthersAsJSON(t *testing.T) {
	for value, want := range map[string]string{
		"user 1": "`user 1`", `a"\b`: "`a\"\\b`", "日本": "`日本`", "<b>": "`<b>`",
		"": "`\"\"`", " a": "`\" a\"`", "a ": "`\"a \"`", " ": "`\" \"`", `"a"`: "`\"\\\"a\\\"\"`", "a\nb": "`\"a\\nb\"`", "a`b``c": "```\"a`b``c\"```",
	} {
		m := memory.Memory{UserID: []byte(value)}
		if got := string(appendWhole(format.Markdown, nil, &m)); !strings.Contains(got, "\n- **user_id:** "+want+"\n- **workspace_id:**") {
			t.Errorf("%q does not become %s in %s", value, want, got)
		}
	}
}

// prose holds the pieces from which random texts are made: plain text, and characters that have a meaning
// in CommonMark, GFM or HTML. It leaves out the Markdown that the format does not escape, such as * and _.
var prose = []string{"a", "b ", " ", " c", "<", "<b>", "<!--", "</", ">", "&", "&amp;", "&#60", ";", "[", "]", "(", ")", "\\", "\\\\", "/", "//", ":", "://",
	"http://a.example", "https://www.b.example/c", "ftp://d.example", "www.e.example", "WWW.f.example", "w", ".", "?", "!", ",", "'", `"`, "=", "@", "g@h.example", "é", "日本"}

func randomProse(r *rand.Rand) string {
	s := "x"
	for range 1 + r.IntN(12) {
		s += prose[r.IntN(len(prose))]
	}
	return s + "x"
}

func TestAGFMReaderShowsTheTextAsStored(t *testing.T) {
	reader := goldmark.New(goldmark.WithExtensions(extension.GFM), goldmark.WithRendererOptions(rendererhtml.WithUnsafe()))
	r := rand.New(rand.NewPCG(7, 8))
	for n := range 3000 {
		want := randomProse(r)
		if n < len(shown) {
			want = shown[n]
		}
		m := memory.Memory{Text: []byte(want)}
		var page bytes.Buffer
		if err := reader.Convert(encode(format.Markdown, []memory.Memory{m}, nil), &page); err != nil {
			t.Fatal(err)
		}
		if err := showsText(page.String(), want); err != nil {
			t.Fatal(err)
		}
	}
}

// shown lists texts that earlier versions encoded wrongly, so that a reader rendered them as HTML or as
// a different text.
var shown = []string{
	"http://a.example<img src=x onerror=alert(1)>", "http://a.example<textarea>", "https://a.example<!-- b", "ftp://a.example/<version>",
	"www.a.example<script>alert(1)</script>", "AT&amp;T &copy; R&D a&b && c", "http://a.example/?a=1&lt=2&copy;[3](4)\\5", "a\\<b>", "\\&lt;",
}

// tags matches the HTML elements that a reader makes from Markdown that contains no HTML.
var tags = regexp.MustCompile(`</?(p|a|em|strong|del|blockquote|h1|h2|ul|li|code)( href="[^"<>]*")?>`)

// showsText returns an error unless the block quote of a rendered page shows the text want and
// contains no HTML except what the pattern tags matches.
func showsText(page, want string) error {
	_, quote, found := strings.Cut(page, "<blockquote>")
	quote, rest, closed := strings.Cut(quote, "</blockquote>")
	if !found || !closed || strings.TrimSpace(rest) != "" {
		return fmt.Errorf("%q becomes a page without one quote at its end:\n%s", want, page)
	}
	text := tags.ReplaceAllString(quote, "")
	if strings.Contains(text, "<") {
		return fmt.Errorf("%q becomes HTML: %s", want, quote)
	}
	if got := strings.Join(strings.Fields(html.UnescapeString(text)), " "); got != strings.Join(strings.Fields(want), " ") {
		return fmt.Errorf("%q is shown as %q, in HTML %s", want, got, quote)
	}
	return nil
}

func FuzzMarkdown(f *testing.F) { fuzzFormat(f, format.Markdown) }
