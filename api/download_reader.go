package api

import (
	"errors"
	"io"
	"sync"

	"memexport/internal/service/archive"
)

var errDownloadOver = errors.New("the download is over")

// downloadReader reads the file for http.ServeContent. ServeContent hides read errors, so downloadReader
// keeps the last one. For a request with several ranges, ServeContent reads in a goroutine and does not
// wait until the goroutine ends. Therefore a lock guards the fields.
type downloadReader struct {
	mu     sync.Mutex
	file   *archive.File
	err    error
	closed bool
}

func (d *downloadReader) Seek(offset int64, whence int) (int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.file.Seek(offset, whence)
}

// Read fills p completely unless the file ends. So the first Read goes beyond the short prefix of the
// format into the first part, and shows whether that part can be read.
func (d *downloadReader) Read(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return 0, errDownloadOver
	}
	n, err := io.ReadFull(d.file, p)
	switch {
	case err == nil || err == io.EOF:
		return n, err
	case errors.Is(err, io.ErrUnexpectedEOF) && d.atEnd():
		return n, nil // the next read returns io.EOF
	}
	d.err = err
	return 0, err
}

// send writes at most limit bytes of the file to w, as archive.File.Send does. It returns 0 and no error if the
// caller must use Read instead.
func (d *downloadReader) send(w io.Writer, limit int64) (int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return 0, errDownloadOver
	}
	n, err := d.file.Send(w, limit)
	if errors.Is(err, io.ErrUnexpectedEOF) || archive.Unavailable(err) { // the file is at fault, not the connection
		d.err = err
	}
	return n, err
}

// atEnd reports whether the whole file has been read.
func (d *downloadReader) atEnd() bool {
	offset, err := d.file.Seek(0, io.SeekCurrent)
	return err == nil && offset == d.file.Size()
}

// close makes further reads fail and returns the error of an earlier read, if there was one.
func (d *downloadReader) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	d.file.Close() //nolint:errcheck // the file was only read
	return d.err
}
