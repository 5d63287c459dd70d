package archive

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

const (
	// directFrom is the size in bytes from which writes bypass the page cache. For smaller data,
	// direct writes are not measurably faster.
	directFrom = 1 << 20
	// directBlock is the alignment in bytes that direct writes need. No disk requires more.
	directBlock = 4096
)

// writeDirect writes the beginning of data to an empty file, bypassing the page cache, and returns
// the number of bytes written. The caller writes the rest normally. If the file system or the
// alignment of data does not allow direct writes, writeDirect returns 0.
//
// Direct writes save a copy of every part and leave the page cache to databases on the same machine.
// With direct writes, verification also reads the bytes from the disk and not from the page cache.
func writeDirect(file *os.File, data []byte) (int, error) {
	whole := len(data) &^ (directBlock - 1)
	if whole < directFrom || setDirect(file, true) != nil {
		return 0, nil
	}
	n, err := file.Write(data[:whole])
	if errors.Is(err, unix.EINVAL) {
		err = nil // the file system accepts the flag O_DIRECT but refuses direct writes; the caller writes the rest
	}
	return n, errors.Join(err, setDirect(file, false))
}

// setDirect turns O_DIRECT on or off for an open file.
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
