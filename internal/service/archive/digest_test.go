package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"memexport/internal/service/format"
)

func TestADigestCanBeContinuedAfterAnyPart(t *testing.T) {
	a, _ := open(t)
	random := rand.New(rand.NewPCG(4, 5))
	for _, f := range append([]*format.Format{marks, bare}, format.All...) {
		for n := range 7 {
			parts, whole := stored(t, a, f, random, n)
			want := sha256.Sum256(whole)
			for first := 0; first <= n; first++ {
				for second := first; second <= n; second++ {
					var d Digest
					for _, step := range [][]Part{parts[:first], parts[first:second], parts[second:]} {
						d = keep(t, d)
						var err error
						if d, err = a.Extend(t.Context(), f, d, step); err != nil {
							t.Fatal(err)
						}
					}
					checkDigest(t, keep(t, d), f, n, want[:], int64(len(whole)))
				}
			}
			if size := a.File(t.Context(), f, parts).Size(); size != int64(len(whole)) {
				t.Errorf("the file's size is %d, want %d", size, len(whole))
			}
		}
		var empty Digest // nothing was ever extended
		want := sha256.Sum256([]byte(f.Prefix + f.Suffix))
		checkDigest(t, empty, f, 0, want[:], int64(len(f.Prefix)+len(f.Suffix)))
	}
}

// keep passes a digest through JSON, as happens between two activities.
func keep(t *testing.T, d Digest) Digest {
	t.Helper()
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	var kept Digest
	if err := json.Unmarshal(text, &kept); err != nil {
		t.Fatal(err)
	}
	return kept
}

func checkDigest(t *testing.T, d Digest, f *format.Format, parts int, want []byte, size int64) {
	t.Helper()
	for range 2 { // Finish does not change the digest
		sha, n, err := d.Finish(f)
		if err != nil || !bytes.Equal(sha, want) || n != size || d.Parts != parts {
			t.Fatalf("%s, %d parts: %x of %d bytes, want %x of %d: %v", f.Name, d.Parts, sha, n, want, size, err)
		}
	}
}

func TestADamagedPartHasNoDigest(t *testing.T) {
	for name, do := range damage {
		t.Run(name, func(t *testing.T) {
			for position := range 5 {
				a, dir := open(t)
				var parts []Part
				var contents [][]byte
				for i := range 5 {
					contents = append(contents, bytes.Repeat([]byte{'a' + byte(i)}, 1000*(5-i)))
					parts = append(parts, put(t, a, i, contents[i]))
				}
				if err := do(filepath.Join(dir, parts[position].Object), contents[position]); err != nil {
					t.Fatal(err)
				}
				_, err := a.Extend(t.Context(), marks, Digest{}, parts)
				if err == nil || errors.Is(err, io.EOF) {
					t.Fatalf("part %d: %v", position, err)
				}
				if missing := name == "missing" || name == "moved"; errors.Is(err, ErrCorrupt) == missing {
					t.Errorf("part %d: %v", position, err)
				}
				if _, err := a.Extend(t.Context(), marks, Digest{}, parts[:position]); err != nil {
					t.Errorf("the parts before it: %v", err)
				}
			}
		})
	}
}

func TestExtendComparesEveryRecordedProperty(t *testing.T) {
	a, _ := open(t)
	p := put(t, a, 0, []byte("data"))
	c := put(t, compressing(a), 1, []byte("data"))
	for _, wrong := range []Part{
		{Object: p.Object, Size: p.Size, Checksum: p.Checksum + 1}, {Object: p.Object, Size: p.Size - 1, Checksum: p.Checksum}, {Object: p.Object, Size: p.Size + 1, Checksum: p.Checksum},
		{Object: c.Object, Size: c.Size - 1, Checksum: c.Checksum, CompressedSize: c.CompressedSize, CRC: c.CRC},
		{Object: c.Object, Size: c.Size + 1, Checksum: c.Checksum, CompressedSize: c.CompressedSize, CRC: c.CRC},
		{Object: c.Object, Size: c.Size, Checksum: c.Checksum, CompressedSize: c.CompressedSize, CRC: c.CRC + 1},
		{Object: c.Object, Size: c.Size, Checksum: c.Checksum, CompressedSize: c.CompressedSize + 1, CRC: c.CRC},
		{Object: c.Object, Size: c.Size, Checksum: c.Checksum + 1, CompressedSize: c.CompressedSize, CRC: c.CRC},
	} {
		if _, err := a.Extend(t.Context(), marks, Digest{}, []Part{wrong}); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%+v: %v", wrong, err)
		}
	}
}

func TestACancelledDigestIsAnError(t *testing.T) {
	a, _ := open(t)
	var parts []Part
	for i := range 10 {
		parts = append(parts, put(t, a, i, bytes.Repeat([]byte{byte(i)}, 100_000)))
	}
	if _, err := a.Extend(cancelled(), marks, Digest{}, parts); !errors.Is(err, context.Canceled) {
		t.Errorf("Extend: %v", err)
	}
}

func TestAnInvalidStateIsAnError(t *testing.T) {
	a, _ := open(t)
	broken := Digest{State: []byte("nonsense")}
	if _, err := a.Extend(t.Context(), marks, broken, nil); err == nil {
		t.Error("Extend accepts it")
	}
	if _, _, err := broken.Finish(marks); err == nil {
		t.Error("Finish accepts it")
	}
}
