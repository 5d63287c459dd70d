package archive

import (
	"bytes"
	"compress/gzip"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"testing/iotest"

	"memexport/internal/service/format"
)

func TestCompressedPartsFormOneGzipMember(t *testing.T) {
	a, _ := open(t)
	a = compressing(a)
	random := rand.New(rand.NewPCG(6, 7))
	for _, f := range append([]*format.Format{marks, bare}, format.All...) {
		for n := 1; n < 7; n++ {
			want := f.Prefix
			var parts []Part
			for i := range n {
				text := strings.Repeat("The user prefers tea. ", random.IntN(20_000)) + string(rune('a'+i))
				p := put(t, a, i, []byte(text))
				if p.Continues = i > 0 && random.IntN(3) == 0; i > 0 && !p.Continues {
					want += f.Separator
				}
				want += text
				parts = append(parts, p)
			}
			want += f.Suffix
			file, ok := a.GzipFile(t.Context(), f, parts)
			if !ok {
				t.Fatal("compressed parts have no gzip file")
			}
			member, err := io.ReadAll(file)
			if err != nil || int64(len(member)) != file.Size() {
				t.Fatalf("%d bytes instead of %d: %v", len(member), file.Size(), err)
			}
			rest := bytes.NewReader(member)
			r, err := gzip.NewReader(rest)
			if err != nil {
				t.Fatal(err)
			}
			r.Multistream(false) // read only one gzip member, as browsers do
			got, err := io.ReadAll(r)
			if err != nil || string(got) != want || rest.Len() != 0 {
				t.Errorf("%s, %d parts: %d bytes instead of %d, and %d after the member: %v", f.Name, n, len(got), len(want), rest.Len(), err)
			}
			file.Seek(0, io.SeekStart) //nolint:errcheck // offset 0 always exists
			if err := iotest.TestReader(file, member); err != nil {
				t.Error(err)
			}
			check := exec.Command("gzip", "-t")
			check.Stdin = bytes.NewReader(member)
			if out, err := check.CombinedOutput(); err != nil {
				t.Errorf("gzip -t: %v: %s", err, out)
			}
		}
	}
}

func TestThereIsNoGzipFileUnlessAllPartsAreCompressed(t *testing.T) {
	a, _ := open(t)
	plain := put(t, a, 0, []byte("plain"))
	compressed := put(t, compressing(a), 1, []byte("compressed"))
	for _, parts := range [][]Part{nil, {plain}, {plain, compressed}, {compressed, plain}} {
		if _, ok := a.GzipFile(t.Context(), marks, parts); ok {
			t.Errorf("%+v: a gzip file", parts)
		}
	}
}

func TestCompressionIsDeterministic(t *testing.T) {
	a, dir := open(t)
	a = compressing(a)
	data := []byte(strings.Repeat("The user prefers tea. ", 50_000))
	first := put(t, a, 0, data)
	if again := put(t, a, 0, data); again != first {
		t.Errorf("%+v, then %+v", first, again)
	}
	if n := len(files(t, dir)); n != 1 {
		t.Errorf("%d objects instead of 1", n)
	}
	if first.CompressedSize*5 > first.Size {
		t.Errorf("%d bytes are stored as %d", first.Size, first.CompressedSize)
	}
}

func TestIncompressibleDataBarelyGrows(t *testing.T) {
	a, _ := open(t)
	a = compressing(a)
	random := rand.New(rand.NewPCG(8, 9))
	data := make([]byte, 1<<20)
	for i := range data {
		data[i] = byte(random.Uint32())
	}
	p := put(t, a, 0, data)
	if p.CompressedSize > p.Size+p.Size/1000+100 {
		t.Errorf("%d bytes became %d", p.Size, p.CompressedSize)
	}
	if got, err := io.ReadAll(a.File(t.Context(), bare, []Part{p})); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes came back: %v", len(got), err)
	}
}

func FuzzCombineCRC(f *testing.F) {
	f.Add([]byte(""), []byte(""))
	f.Add([]byte("a"), []byte(strings.Repeat("b", 70_000)))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		want := crc32.ChecksumIEEE(append(bytes.Clone(first), second...))
		if got := combineCRC(crc32.ChecksumIEEE(first), crc32.ChecksumIEEE(second), int64(len(second))); got != want {
			t.Errorf("%#x, want %#x", got, want)
		}
	})
}
