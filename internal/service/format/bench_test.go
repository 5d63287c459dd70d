package format_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"memexport/internal/service/format"
	"memexport/internal/service/memory"
)

// typical returns memories with texts of about 250 bytes. A few texts have two lines.
func typical() []memory.Memory {
	words := strings.Fields(`the user prefers morning meetings and said "never before nine" about calls, likes Zürich,
		works on billing-service (Go), uses user_id in queries, wants short answers, dislikes emoji, reads café menus`)
	r := rand.New(rand.NewPCG(5, 6))
	memories := make([]memory.Memory, 256)
	for i := range memories {
		m := sample()
		var text []byte
		for size := 150 + r.IntN(200); len(text) < size; {
			text = append(append(text, words[r.IntN(len(words))]...), " \n"[r.IntN(50)/49])
		}
		m.Text = text
		m.CreatedAt += memory.Time(r.Int64N(1e13))
		memories[i] = m
	}
	return memories
}

func BenchmarkAppend(b *testing.B) {
	memories := typical()
	for _, f := range format.All {
		if f.NewFooter != nil {
			continue // this encoder does its work in Finish, which BenchmarkFile measures
		}
		b.Run(f.Name, func(b *testing.B) {
			encoder := f.NewEncoder()
			size := 0
			for i := range memories {
				size += len(encoder.Append(nil, &memories[i]))
			}
			dst := make([]byte, 0, 1<<14)
			b.SetBytes(int64(size / len(memories)))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				dst = encoder.Append(dst[:0], &memories[i%len(memories)])
			}
		})
	}
}

// BenchmarkFile encodes parts of 8 MiB, as exports do. One iteration encodes one memory.
func BenchmarkFile(b *testing.B) {
	memories := typical()
	for _, f := range format.All {
		b.Run(f.Name, func(b *testing.B) {
			encoder := f.NewEncoder()
			dst := make([]byte, 0, 9<<20)
			size := 0
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				m := &memories[i%len(memories)]
				m.ID = fmt.Appendf(m.ID[:0], "%08x-7a3e-7c44-9b1d-3f5a6e7d8c90", uint32(i))
				m.CreatedAt++
				dst = encoder.Append(dst, m)
				if len(dst)+encoder.Pending() >= 8<<20 {
					dst, _, _ = encoder.Finish(dst)
					size += len(dst)
					dst = dst[:0]
				}
			}
			dst, _, err := encoder.Finish(dst)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(size+len(dst))/float64(b.N), "file-B/memory")
		})
	}
}

func BenchmarkJSONString(b *testing.B) {
	var text []byte
	for _, m := range typical() {
		text = append(text, m.Text...)
	}
	b.Run("ours", func(b *testing.B) {
		dst := make([]byte, 0, 2*len(text))
		b.SetBytes(int64(len(text)))
		encoder := format.JSON.NewEncoder()
		encoder.Before(nil, &memory.Memory{Text: text})
		for b.Loop() {
			dst = encoder.Text(dst[:0], text)
		}
	})
	b.Run("encoding-json", func(b *testing.B) {
		var dst bytes.Buffer
		encoder := json.NewEncoder(&dst)
		encoder.SetEscapeHTML(false)
		s := string(text)
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			dst.Reset()
			if err := encoder.Encode(s); err != nil {
				b.Fatal(err)
			}
		}
	})
}
