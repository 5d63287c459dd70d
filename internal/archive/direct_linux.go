package archive

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// directFrom is the size in bytes from which a part goes past the page cache: a smaller one would
	// wait for the disk once more when it is read back.
	directFrom = 1 << 20
	// blockSize is what direct writes are aligned to, in memory and in the file; no disk asks for more.
	blockSize = 4096
)

// writeDirect writes the beginning of data to an empty file past the page cache and returns its
// length: 0 where the file system cannot do that. The rest is to be written as usual. It spares a
// copy of the part, leaves the page cache to the databases of the machine, and has the part read
// back from the disk.
func writeDirect(file *os.File, data []byte) (int, error) {
	aligned := len(data) &^ (blockSize - 1)
	if aligned < directFrom || uintptr(unsafe.Pointer(unsafe.SliceData(data)))%blockSize != 0 {
		return 0, nil
	}
	if setDirect(file, true) != nil {
		return 0, nil
	}
	n, err := file.Write(data[:aligned])
	if errors.Is(err, unix.EINVAL) {
		err = nil // refused after all, wholly or from here on
	}
	return n, errors.Join(err, setDirect(file, false))
}

func setDirect(file *os.File, on bool) error {
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	err = conn.Control(func(fd uintptr) {
		var flags int
		if flags, result = unix.FcntlInt(fd, unix.F_GETFL, 0); result != nil {
			return
		}
		flags &^= unix.O_DIRECT
		if on {
			flags |= unix.O_DIRECT
		}
		_, result = unix.FcntlInt(fd, unix.F_SETFL, flags)
	})
	return errors.Join(err, result)
}
