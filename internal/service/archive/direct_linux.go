package archive

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

const (
	// directFrom is the size in bytes from which data goes past the page cache: of less, the copy that
	// this spares costs nothing to speak of.
	directFrom = 1 << 20
	// directBlock is what the length of a direct write has to be a multiple of; no disk asks for more.
	directBlock = 4096
)

// writeDirect writes the beginning of data to an empty file past the page cache, and returns its
// length: 0 where the file system or the place of data in memory does not allow it. The rest is to be
// written as usual. It spares a copy of every part, and leaves the page cache to the databases that
// run beside it; and what is read back for verification has been on the disk.
func writeDirect(file *os.File, data []byte) (int, error) {
	whole := len(data) &^ (directBlock - 1)
	if whole < directFrom || setDirect(file, true) != nil {
		return 0, nil
	}
	n, err := file.Write(data[:whole])
	if errors.Is(err, unix.EINVAL) {
		err = nil // not possible after all, as a whole or from here on
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
