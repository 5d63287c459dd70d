package format_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"testing"

	"memexport/internal/service/format"
	"memexport/internal/service/memory"
)

// alphabet lists strings that are special in at least one of the formats.
var alphabet = append([]string{
	"a", "B", "7", " ", "  ", "    ", "\t", "\n", "\n", "\r", "\r\n", "\n\n", "\"", "'", ",", ";", ":", "\\", "/", "|",
	"=", "+", "-", "@", "＝", "＋", "－", "＠", "（", "`", "``", "```", "~~~", "<", ">", "<!--", "-->", "<textarea>", "</textarea>", "<br/>",
	"[", "]", "(", ")", "[a]: /x", "[^1]: ", "!", "#", "## ", "> ", "- ", "* ", "1. ", "---", "===", "*", "**", "_", "~~", "&amp;", "$", "{", "}",
	"\x01", "\x1f", "\x7f", "\u0085", "\u2028", "\ufeff", "é", "e\u0301", "ש", "\u202e", "日本", "😀", "\U0010ffff",
}, texts...)

func randomText(r *rand.Rand) []byte {
	s := []byte{}
	for range r.IntN(1 + r.IntN(24)) {
		s = append(s, alphabet[r.IntN(len(alphabet))]...)
	}
	return s
}

func randomMemory(r *rand.Rand) memory.Memory {
	m := sample()
	for _, column := range []*[]byte{&m.Text, &m.UserID, &m.AgentID, &m.SessionID, &m.Priority, &m.Status} {
		if *column = nil; r.IntN(5) > 0 {
			*column = randomText(r)
		}
	}
	m.Categories, m.Metadata = nil, nil
	if r.IntN(5) > 0 {
		m.Categories = marshal([]string{string(randomText(r)), string(randomText(r))})
	}
	if r.IntN(5) > 0 {
		m.Metadata = marshal(map[string]any{string(randomText(r)): string(randomText(r)), "n": r.IntN(1000)})
	}
	m.AccessCount = r.Int64() - r.Int64()
	m.CreatedAt, m.UpdatedAt = memory.Time(r.Int64()>>r.IntN(20)), -memory.Time(r.Int64()>>r.IntN(20))
	m.LastAccessedAt.Valid = r.IntN(2) > 0
	return m
}

// marshal returns v as JSON on one line without HTML escapes, as Postgres writes it.
func marshal(v any) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func TestRandomMemoriesRoundTrip(t *testing.T) {
	for _, f := range format.All {
		r := rand.New(rand.NewPCG(1, 2))
		for range 1500 {
			memories := make([]memory.Memory, r.IntN(5))
			for i := range memories {
				memories[i] = randomMemory(r)
			}
			checkRoundTrip(t, f, memories)
		}
	}
}

func TestRandomPiecesMakeTheSameBytesAsTheWhole(t *testing.T) {
	for _, f := range writesAtOnce() {
		r := rand.New(rand.NewPCG(3, 4))
		for range 20_000 {
			m := randomMemory(r)
			whole := appendWhole(f, nil, &m)
			// Half of the pieces have at most two bytes. Some are empty.
			pieces := cut(m, func(rest []byte) int { return r.IntN(1 + min(len(rest), 2<<(r.IntN(2)*r.IntN(8)))) })
			if got := appendPieces(f.NewEncoder(), nil, &pieces); !bytes.Equal(got, whole) {
				t.Fatalf("%s of %q: in pieces\n%q\nwhole\n%q", f.Name, m.Text, got, whole)
			}
		}
	}
}
