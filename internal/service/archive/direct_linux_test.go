package archive

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestADirectWriteAndTheRestMakeTheWholeFile(t *testing.T) {
	random := noise(directFrom+3*directBlock, 1)
	for name, data := range map[string][]byte{
		"nothing":              {},
		"too small":            random[:directFrom-1],
		"just large enough":    random[:directFrom],
		"with a remainder":     random[:directFrom+directBlock+17],
		"whole blocks":         random,
		"unaligned":            random[1 : directFrom+2*directBlock],
		"aligned to 512 bytes": random[512 : directFrom+2*directBlock],
		"one byte more":        random[:directFrom+1],
	} {
		file, err := os.Create(filepath.Join(t.TempDir(), "part"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		n, err := writeDirect(file, data)
		if err != nil || n%directBlock != 0 || len(data) < directFrom && n != 0 {
			t.Errorf("%s: %d bytes of %d were written directly: %v", name, n, len(data), err)
		}
		if _, err := file.Write(data[n:]); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := os.ReadFile(file.Name()); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: the file has %d bytes that are not the %d written: %v", name, len(got), len(data), err)
		}
		if flags, err := unix.FcntlInt(file.Fd(), unix.F_GETFL, 0); err != nil || flags&unix.O_DIRECT != 0 {
			t.Errorf("%s: O_DIRECT is still on: %v", name, err)
		}
	}
}
