package archive

import (
	"fmt"
	"strings"
	"testing"

	"memexport/internal/service/format"
)

// BenchmarkExtend measures the verification of a file before its export becomes READY: reading the
// parts back, comparing their checksums and hashing the whole.
func BenchmarkExtend(b *testing.B) {
	for _, compress := range []bool{false, true} {
		b.Run(fmt.Sprintf("compressed=%t", compress), func(b *testing.B) {
			a, err := Open(b.Context(), "file://"+b.TempDir(), Options{Compress: compress})
			if err != nil {
				b.Fatal(err)
			}
			defer a.Close()
			var parts []Part
			for i := range 8 {
				p, err := a.Put(b.Context(), exportID, 0, i, []byte(strings.Repeat(fmt.Sprintf("The user prefers tea to %d coffees, in the morning at least. ", i), 8<<20/60)))
				if err != nil {
					b.Fatal(err)
				}
				parts = append(parts, p)
				b.SetBytes(p.Size * int64(len(parts)))
			}
			for b.Loop() {
				if _, err := a.Extend(b.Context(), format.CSV, Digest{}, parts); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
