package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"
	"time"

	"memexport/internal/service/format"
)

func TestTheFileIsPrefixPartsSeparatorsAndSuffix(t *testing.T) {
	a, _ := open(t)
	p := func(number int, data string, continues bool) Part {
		part := put(t, a, number, []byte(data))
		part.Continues = continues
		return part
	}
	parts := []Part{p(0, "one", false), p(1, "two", false), p(2, "three", true), p(3, "four", true), p(4, "five", false)}
	for n, want := range []string{"<prefix><suffix>", "<prefix>one<suffix>", "<prefix>one|two<suffix>", "<prefix>one|twothree<suffix>",
		"<prefix>one|twothreefour<suffix>", "<prefix>one|twothreefour|five<suffix>"} {
		f := a.File(t.Context(), marks, parts[:n])
		if got, err := io.ReadAll(f); err != nil || string(got) != want {
			t.Errorf("%d parts make %q, want %q: %v", n, got, want, err)
		}
		if f.Size() != int64(len(want)) {
			t.Errorf("%d parts: the size is %d, want %d", n, f.Size(), len(want))
		}
	}
	if got, err := io.ReadAll(a.File(t.Context(), bare, nil)); err != nil || len(got) != 0 {
		t.Errorf("no parts and no literals: %q, %v", got, err)
	}
}

// Earlier releases stored parts without their separators. A file may contain parts with and without a
// separator.
func TestAPartMayContainItsSeparator(t *testing.T) {
	plain, _ := open(t)
	for _, a := range []*Archive{plain, compressing(plain)} {
		compress := a.options.Compress
		p := func(number int, data string) Part {
			part := put(t, a, number, []byte(data))
			part.Separated = data[0] == '|'
			return part
		}
		none, own, other := p(0, "one"), p(1, "|two"), p(2, "|three")
		for _, c := range []struct {
			parts []Part
			want  string
			gzip  bool
		}{
			{[]Part{none, own, other}, "<prefix>one|two|three<suffix>", compress},
			{[]Part{own, none, other}, "<prefix>two|one|three<suffix>", false}, // as if the first range had turned out to be empty
			{[]Part{other}, "<prefix>three<suffix>", false},
		} {
			file := a.File(t.Context(), marks, c.parts)
			if err := iotest.TestReader(file, []byte(c.want)); err != nil {
				t.Errorf("%q: %v", c.want, err)
			}
			digest, err := a.Extend(t.Context(), marks, Digest{}, c.parts)
			if err != nil {
				t.Fatal(err)
			}
			checkDigest(t, digest, marks, len(c.parts), sum([]byte(c.want)), int64(len(c.want)))
			if _, ok := a.GzipFile(t.Context(), marks, c.parts); ok != c.gzip {
				t.Errorf("%q: there is a gzip file: %t", c.want, ok)
			}
		}
	}
}

func TestAFileIsAWellBehavedReader(t *testing.T) {
	a, _ := open(t)
	for _, f := range append([]*format.Format{marks, bare}, format.All...) {
		for n := range 6 {
			parts, whole := stored(t, a, f, rand.New(rand.NewPCG(1, uint64(n))), n)
			for _, reading := range []*Archive{a, network(a)} {
				file := reading.File(t.Context(), f, parts)
				if err := iotest.TestReader(file, whole); err != nil {
					t.Errorf("%s, %d parts: %v", f.Name, n, err)
				}
				file.Close()
			}
		}
	}
}

func TestAFileSeeksAndReadsLikeItsBytes(t *testing.T) {
	a, _ := open(t)
	random := rand.New(rand.NewPCG(2, 3))
	for round := range 20 {
		f := []*format.Format{marks, bare, format.CSV}[round%3]
		parts, whole := stored(t, a, f, random, random.IntN(9))
		reading := a
		if round%2 == 1 {
			reading = network(a)
		}
		file, want := reading.File(t.Context(), f, parts), bytes.NewReader(whole)
		var history string
		for range 300 {
			switch random.IntN(5) {
			case 0, 1:
				offset, whence := random.Int64N(int64(2*len(whole)+20))-int64(len(whole))-5, random.IntN(4)
				history += fmt.Sprintf(" seek(%d, %d)", offset, whence)
				g, gErr := file.Seek(offset, whence)
				w, wErr := want.Seek(offset, whence)
				if (gErr == nil) != (wErr == nil) || gErr == nil && g != w {
					t.Fatalf("%s is %d, %v, want %d, %v", history, g, gErr, w, wErr)
				}
			case 2:
				history += " close"
				file.Close()
			default:
				n := random.IntN(100)
				if random.IntN(10) == 0 {
					n = random.IntN(150_000)
				}
				history += fmt.Sprintf(" read(%d)", n)
				g, w := make([]byte, n), make([]byte, n)
				gn, gErr := io.ReadFull(file, g)
				wn, wErr := io.ReadFull(want, w)
				if gn != wn || gErr != wErr || !bytes.Equal(g, w) {
					t.Fatalf("%s of %d bytes has %d, %v, want %d, %v", history, len(whole), gn, gErr, wn, wErr)
				}
			}
		}
		file.Close()
	}
}

func TestADamagedPartIsAnErrorAndNeverAnEnd(t *testing.T) {
	for name, do := range damage {
		if name == "corrupted" {
			continue // the length is unchanged; only Extend notices
		}
		t.Run(name, func(t *testing.T) {
			a, dir := open(t)
			a = network(a)
			first, second := bytes.Repeat([]byte("a"), 100), bytes.Repeat([]byte("b"), 100)
			parts := []Part{put(t, a, 0, first), put(t, a, 1, second)}
			if err := do(filepath.Join(dir, parts[1].Object), second); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(a.File(t.Context(), marks, parts))
			if err == nil || errors.Is(err, io.EOF) || string(got) != "<prefix>"+string(first)+"|" {
				t.Errorf("read %q, %v", got, err)
			}
			for _, back := range []int64{101, 50, 2, 1} { // the damage must be noticed even if only the end is read
				f := a.File(t.Context(), bare, parts)
				if _, err := f.Seek(-back, io.SeekEnd); err != nil {
					t.Fatal(err)
				}
				if got, err := io.ReadAll(f); err == nil || errors.Is(err, io.EOF) {
					t.Errorf("the last %d bytes are %q, %v", back, got, err)
				}
			}
		})
	}
}

func TestADamagedCompressedPartIsAnErrorAndNeverAnEnd(t *testing.T) {
	for name, do := range damage {
		if name == "corrupted" {
			continue // only Extend notices every changed bit
		}
		t.Run(name, func(t *testing.T) {
			a, dir := open(t)
			a = compressing(a)
			first := bytes.Repeat([]byte("a"), 100)
			parts := []Part{put(t, a, 0, first), put(t, a, 1, noise(100_000, 1))}
			path := filepath.Join(dir, parts[1].Object)
			object, err := os.ReadFile(path)
			if err == nil {
				err = do(path, object)
			}
			if err != nil {
				t.Fatal(err)
			}
			f := a.File(t.Context(), bare, parts)
			defer f.Close()
			var got []byte
			piece := make([]byte, 10_000)
			for n := 0; err == nil && len(got) <= 100+100_000; got = append(got, piece[:n]...) {
				if n, err = f.Read(piece); n == 0 && err == nil {
					t.Fatalf("after %d bytes, a read returned neither bytes nor an error", len(got))
				}
			}
			if err == nil || errors.Is(err, io.EOF) || !bytes.HasPrefix(got, first) {
				t.Errorf("read %d bytes, %v", len(got), err)
			}
		})
	}
}

func TestACompressedPartNeverExceedsItsRecordedSize(t *testing.T) {
	a, _ := open(t)
	a = compressing(a)
	parts := []Part{put(t, a, 0, []byte("aaaa")), put(t, a, 1, []byte("bbbb"))}
	parts[0].Size-- // as if more bytes were stored than recorded
	f := a.File(t.Context(), marks, parts)
	begin := make([]byte, len("<prefix>a"))
	if _, err := io.ReadFull(f, begin); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(f); err != nil || string(got) != "aa|bbbb<suffix>" {
		t.Errorf("read %q and %q, %v", begin, got, err)
	}
}

func TestAPartThatIsTruncatedWhileBeingReadIsAnError(t *testing.T) {
	a, dir := open(t)
	data := bytes.Repeat([]byte("0123456789"), 1<<20)
	p := put(t, a, 0, data)
	f := a.File(t.Context(), bare, []Part{p})
	defer f.Close()
	if _, err := io.ReadFull(f, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, p.Object), 5<<20); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(f); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("read %d bytes more, %v", len(rest), err)
	}
}

func TestReadingGoesOnOverANewConnectionWhenOneBreaks(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	data := noise(100_000, 1)
	connections := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		connections++
		if connections <= 2 { // break the first two connections after some bytes
			w = &breaking{ResponseWriter: w, left: 30_000}
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}))
	defer server.Close()
	a, err := Open(t.Context(), "s3://bucket?region=us-east-1&use_path_style=true&endpoint="+server.URL, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	f := a.File(t.Context(), bare, []Part{{Object: "part", Size: int64(len(data))}})
	defer f.Close()
	if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, data) {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
	if connections != 3 {
		t.Errorf("there were %d connections", connections)
	}
}

// breaking breaks its connection after some bytes.
type breaking struct {
	http.ResponseWriter
	left int
}

func (b *breaking) Write(p []byte) (int, error) {
	if len(p) > b.left {
		_, _ = b.ResponseWriter.Write(p[:b.left])
		panic(http.ErrAbortHandler)
	}
	b.left -= len(p)
	return b.ResponseWriter.Write(p)
}

// A client may take the last bytes of a part and then pause for long.
func TestNothingStaysOpenAfterTheLastByteOfAPart(t *testing.T) {
	a, _ := open(t)
	for name, part := range map[string]Part{"plain": put(t, a, 0, noise(1000, 1)), "compressed": put(t, compressing(a), 1, noise(1000, 1))} {
		f := a.File(t.Context(), bare, []Part{part, part})
		defer f.Close()
		if _, err := io.ReadFull(f, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		if f.stream != nil || f.inflater != nil {
			t.Errorf("%s: the part is still open", name)
		}
	}
}

func TestNothingIsOpenedBeforeTheFirstRead(t *testing.T) {
	a, _ := open(t)
	f := a.File(t.Context(), marks, []Part{{Object: "exports/x/missing", Size: 10}})
	for _, whence := range []int{io.SeekStart, io.SeekCurrent, io.SeekEnd} {
		if _, err := f.Seek(0, whence); err != nil {
			t.Error(err)
		}
	}
	if n, err := f.Seek(1000, io.SeekStart); n != 1000 || err != nil {
		t.Error(n, err)
	}
	if n, err := f.Read(make([]byte, 5)); n != 0 || err != io.EOF {
		t.Error(n, err)
	}
}

func TestReadingEndsWithTheContext(t *testing.T) {
	a, _ := open(t)
	parts := []Part{put(t, a, 0, bytes.Repeat([]byte("a"), 1<<20)), put(t, a, 1, []byte("b"))}
	ctx, cancel := context.WithCancel(t.Context())
	f := a.File(ctx, bare, parts)
	defer f.Close()
	if _, err := io.ReadFull(f, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if rest, err := io.ReadAll(f); !errors.Is(err, context.Canceled) {
		t.Errorf("read %d bytes after the cancel, %v", len(rest), err)
	}
}

// copier records what io.Copy gives its ReadFrom.
type copier struct {
	bytes.Buffer
	fromFiles int
}

func (c *copier) ReadFrom(src io.Reader) (int64, error) {
	if section, ok := src.(*io.LimitedReader); ok {
		if _, ok := section.R.(*os.File); ok {
			c.fromFiles++
		}
	}
	return c.Buffer.ReadFrom(src)
}

func TestSendSendsTheRestOfAnOpenPartFromItsFile(t *testing.T) {
	a, dir := open(t)
	contents := [][]byte{noise(10_000, 1), noise(20_000, 2)}
	parts := []Part{put(t, a, 0, contents[0]), put(t, a, 1, contents[1])}
	file := a.File(t.Context(), marks, parts)
	defer file.Close()
	var w copier
	one := make([]byte, 1)
	reads := 0
	for {
		n, err := file.Send(&w, 7000)
		if err != nil {
			t.Fatal(err)
		}
		if n > 7000 {
			t.Errorf("%d bytes were sent", n)
		}
		if n > 0 {
			continue
		}
		if _, err := file.Read(one); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		w.Write(one)
		reads++
	}
	if want := len(marks.Prefix) + len(marks.Separator) + len(marks.Suffix) + len(parts); reads != want { // only the first byte of each part
		t.Errorf("%d bytes had to be read, want %d", reads, want)
	}
	if want := joined(marks, contents...); !bytes.Equal(w.Bytes(), want) || w.fromFiles < 5 {
		t.Errorf("%d bytes of %d in %d sections", w.Len(), len(want), w.fromFiles)
	}

	if _, err := file.Seek(int64(len(marks.Prefix)), io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if _, err := file.Read(one); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, parts[0].Object), 5000); err != nil {
		t.Fatal(err)
	}
	if n, err := file.Send(io.Discard, 1<<20); n != 4999 || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%d bytes of a part that was cut off: %v", n, err)
	}
}
