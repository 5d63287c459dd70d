package devstack

import (
	"fmt"
	"io"
	"os"
	"strings"
)

const (
	maxLogSize = 8 << 20 // a log that is larger at start is put aside as .old
	tailLines  = 12      // what an error message shows
	tailBytes  = 8 << 10
)

// serverLog is the file that a child writes to. A file, not a pipe: the child must not block or
// die because nobody reads any more.
type serverLog struct {
	path  string
	file  *os.File
	begin int64 // where this run's output begins
}

func openLog(path string) (*serverLog, error) {
	if info, err := os.Stat(path); err == nil && info.Size() > maxLogSize {
		if err := os.Rename(path, path+".old"); err != nil {
			return nil, fmt.Errorf("put the old log aside: %w", err)
		}
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the log: %w; is the directory yours? Use --dir to choose another", err)
	}
	begin, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("open the log: %w", err)
	}
	return &serverLog{path: path, file: file, begin: begin}, nil
}

// tail returns the last lines that this run wrote, or says that there are none.
func (l *serverLog) tail() string {
	file, err := os.Open(l.path) // not l.file: it may be closed
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err.Error()
	}
	from := max(l.begin, info.Size()-tailBytes)
	text, err := io.ReadAll(io.NewSectionReader(file, from, tailBytes))
	if err != nil {
		return err.Error()
	}
	return lastLines(string(text))
}

// lastLines cuts a program's output to what fits into an error message.
func lastLines(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	lines = lines[max(0, len(lines)-tailLines):]
	if len(lines) == 1 && lines[0] == "" {
		return "(it wrote nothing)"
	}
	return strings.Join(lines, "\n")
}
