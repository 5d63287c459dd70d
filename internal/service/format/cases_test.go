package format_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"memexport/internal/service/memory"
)

// sample returns an ordinary memory.
func sample() memory.Memory {
	return memory.Memory{
		ID:             []byte("0192f0c1-7a3e-7c44-9b1d-3f5a6e7d8c90"),
		Text:           []byte("Prefers window seats on flights longer than three hours."),
		UserID:         []byte("user-123"),
		AgentID:        []byte("travel-agent"),
		SessionID:      []byte("session-42"),
		Priority:       []byte("HIGH"),
		Status:         []byte("COMPLETED"),
		Categories:     []byte(`["preferences","travel"]`),
		Metadata:       []byte(`{"source": "chat", "confidence": 0.93}`),
		WorkspaceID:    []byte("5d2c9c1e-0f5b-4a57-8a0e-1f9f6f1f2a11"),
		AccessCount:    7,
		LastAccessedAt: memory.NullTime{Time: at(2026, 2, 1), Valid: true},
		CreatedAt:      at(2026, 1, 15),
		UpdatedAt:      at(2026, 1, 16),
	}
}

func at(year int, month time.Month, day int) memory.Time {
	return memory.TimeOf(time.Date(year, month, day, 10, 30, 0, 123456000, time.UTC))
}

// nullable returns pointers to the fields of m that may be NULL, without LastAccessedAt.
func nullable(m *memory.Memory) map[string]*[]byte {
	columns := textColumns(m)
	columns["categories"], columns["metadata"] = &m.Categories, &m.Metadata
	return columns
}

// textColumns returns pointers to the fields of m that may hold any text.
func textColumns(m *memory.Memory) map[string]*[]byte {
	return map[string]*[]byte{
		"memory": &m.Text, "user_id": &m.UserID, "agent_id": &m.AgentID,
		"session_id": &m.SessionID, "priority": &m.Priority, "status": &m.Status,
	}
}

// texts lists values that every text column must carry unchanged in every format.
var texts = []string{
	"", " ", "  two around  ", "\t", "\n", "\r", "\r\n", "\n\r", "\r\r\n\n", "\n\n\n",
	"one\ntwo", "one\rtwo", "one\r\ntwo", "ends\n", "ends\r", "ends\r\n", "ends  \n  begins", "\nbegins",
	"next\u0085line", "line\u2028separator\u2029paragraph", "vertical\vfeed\f", "nbsp\u00a0", "\ufeffmark",
	"😀 👩‍👩‍👧‍👦 🏳️‍🌈", "שלום \u202eעולם", "e\u0301 n\u0303", "日本語テキスト", "（全角）", "ﾊﾝｶｸ", "\U0010ffff",
	`"`, `""`, `"quoted"`, `say "hi", he said`, `\`, `\\`, `\n`, `c:\dir\`, `\"`, `'`, `''quoted'`, ",", ";", "a,b",
	"\x01\x02\x1b[31m\x1f\x7f", "NULL", "null", `\N`, `\.`, "{}", "[]", "true", "0",
	"=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "'=1", "''", "＝1", "＋1", "－1", "＠1", `=HYPERLINK("http://x","y")`,
	"`", "``", "`code`", "a `` b ` c ``` d", "```\nfence", "~~~\nfence", "`` ` ``", "$`x`$", "ends`", "`begins",
	"# heading", "## 2026 · x", "title\n===", "title\n---", "---", "- item", "1. item", "> quote", ">", "> \n> ",
	"    code", "\tcode", "para\n\n    code", "a | b\n--- | ---\nc | d", "para\n\n## next\n\n- **id:** `x`",
	"<textarea>", "<!-- open", "<script>\nalert(1)", "<div>\n\n</div>", "a <b>c</b>", "<http://example.com>", "<?php", "<![CDATA[",
	"[a]: /x", "[a]:\n/x\n'title'", "[link](http://example.com)", "![image](x.png)", "[^1]: note", "[^1]", "- [ ] task", "[!NOTE]",
	`\<b>`, `\[a]: /x`, `\\<b>`, "&lt;b&gt; &amp; &#0;", "https://example.com", "*a* **b** _c_ ~~d~~", "a\\\nb", ": def", "term\n: def",
	"http://a.example<img src=x onerror=alert(1)>", "see www.a.example<textarea>", "ftp://a.example/<version>", "https://a.example<!-- open",
	"AT&amp;T &copy; &#60; &ampere", "&zeta; &Zeta;", "R&D && a&b", "http://a.example/?a=1&lt=2[3]\\4", "WwW.a.example/wWww", "a:/b://c", "&", "&\n&a",
	"x;=cmd|' /C calc'!A0", "x;'=1", "x|-1", "x\t@a", "x\r'\n'", `x;"=1`, ";", "|;'", "\ufeff=1", "\u200b=1", "\u00a0=1", " =1", "\x01=1", "'\t'",
	"x", "exactly8", strings.Repeat("a", 7) + "\n" + strings.Repeat("b", 8) + "<" + strings.Repeat("é", 9),
}

// metadata lists JSON values that every format must carry unchanged.
var metadata = []string{
	`null`, `true`, `false`, `0`, `-1`, `-12.5e-3`, `1e400`, `123456789012345678901234567890`, `""`, `"=1"`, `"a\nb"`, `"\""`, `[]`, `{}`,
	`{"a": {"b": [1, -2.50, "x", null, true, {"c": []}]}, "": "", "e\"s\\c": "\t\r\n\u0001", "é": "😀", "<t>": "` + "`` ` ```" + `"}`,
	"\"`\"", `"line\u2028end"`, "[\"\u2028\u0085\"]", `{"a": 1, "b": "x,y"}`,
}

// categories lists JSON arrays that every format must carry unchanged.
var categories = []string{
	`[]`, `[""]`, `[null]`, `["a"]`, `["a,b","c\"d","e\\f","{g}",null,"","null"," x ","=1","\n","` + "`" + `"]`, `[["a","b"],["c","d"]]`,
}

// cases returns, by name, the memories of files that every format must carry without loss.
func cases() map[string][]memory.Memory {
	files := map[string][]memory.Memory{
		"no memory":  nil,
		"one memory": {sample()},
		"many":       {sample(), sample(), sample(), sample(), sample()},
	}
	add := func(name string, change func(m *memory.Memory)) {
		m := sample()
		change(&m)
		// The memories before and after m show whether the content of m affects other memories.
		files[name] = []memory.Memory{sample(), m, sample()}
	}
	var empty, null memory.Memory
	for column := range nullable(&null) {
		add(column+" is NULL", func(m *memory.Memory) { *nullable(m)[column] = nil })
	}
	for column := range textColumns(&empty) {
		for _, s := range texts {
			add(fmt.Sprintf("%s is %q", column, s), func(m *memory.Memory) { *textColumns(m)[column] = []byte(s) })
		}
	}
	for _, s := range metadata {
		add("metadata is "+s, func(m *memory.Memory) { m.Metadata = []byte(s) })
	}
	for _, s := range categories {
		add("categories are "+s, func(m *memory.Memory) { m.Categories = []byte(s) })
	}
	add("every nullable column is NULL", func(m *memory.Memory) {
		for _, column := range nullable(m) {
			*column = nil
		}
		m.LastAccessedAt = memory.NullTime{}
	})
	add("every text is empty", func(m *memory.Memory) {
		for _, column := range textColumns(m) {
			*column = []byte{}
		}
	})
	for _, n := range []int64{0, -1, math.MaxInt32, math.MinInt32, math.MaxInt64, math.MinInt64} {
		add(fmt.Sprint("access_count is ", n), func(m *memory.Memory) { m.AccessCount = n })
	}
	for _, instant := range []memory.Time{memory.Infinity, memory.NegativeInfinity, 0, -1, at(0, 2, 29), at(-4712, 1, 1), at(9999, 12, 31), at(10000, 1, 1), at(294276, 12, 31)} {
		add("every time is "+instant.String(), func(m *memory.Memory) {
			m.CreatedAt, m.UpdatedAt, m.LastAccessedAt = instant, instant, memory.NullTime{Time: instant, Valid: true}
		})
	}
	long := strings.Repeat("A line of a long text, with \"quotes\", \\ and <tags>.\r\nשלום 😀\n", 32_000)
	add("2 MB of text", func(m *memory.Memory) { m.Text = []byte(long) })
	return files
}

func TestTheLongTextHasTwoMegabytes(t *testing.T) {
	if n := len(cases()["2 MB of text"][1].Text); n < 2<<20 {
		t.Fatalf("the long text has %d bytes", n)
	}
}
