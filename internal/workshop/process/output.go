package process

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
)

const (
	maxLogSize = 8 << 20 // when a child starts, a larger log is renamed to <name>.old
	readLimit  = 1 << 20 // how many bytes at the end of a log Output returns
	tailLines  = 12      // how many lines at the end of the output a message shows
)

// Buffer collects the output of a child or the lines of a log. One goroutine may read it while others write.
type Buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write appends p.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// String returns everything that was written so far.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// logFile is a file to which the output of children is appended.
type logFile struct {
	path  string
	begin int64 // offset where this child's output begins
}

func openLog(path string) (*logFile, *os.File, error) {
	if info, err := os.Stat(path); err == nil && info.Size() > maxLogSize {
		if err := os.Rename(path, path+".old"); err != nil {
			return nil, nil, fmt.Errorf("rename the old log: %w", err)
		}
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err == nil {
		err = file.Chmod(0o600) // a log of Postgres may quote rows, and an earlier version let others read it
	}
	if err != nil {
		return nil, nil, fmt.Errorf("open the log: %w; use a directory that you can write to", err)
	}
	begin, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		file.Close()
		return nil, nil, fmt.Errorf("open the log: %w", err)
	}
	return &logFile{path: path, begin: begin}, file, nil
}

// text returns what this child wrote to the log. If that is more than 1 MiB, it returns the last
// MiB.
func (l *logFile) text() string {
	file, err := os.Open(l.path)
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err.Error()
	}
	from := max(l.begin, info.Size()-readLimit)
	text, err := io.ReadAll(io.NewSectionReader(file, from, readLimit))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Output returns what the child has printed so far. If the child prints to a log, Output returns at
// most the last MiB. Without a log, it returns the content of the *Buffer that is the command's
// Stdout or Stderr. If neither is a *Buffer, it returns "".
func (p *Process) Output() string {
	if p.log != nil {
		return p.log.text()
	}
	var text string
	stdout, isBuffer := p.cmd.Stdout.(*Buffer)
	if isBuffer {
		text = stdout.String()
	}
	if stderr, ok := p.cmd.Stderr.(*Buffer); ok && stderr != stdout {
		text += stderr.String()
	}
	return text
}

// describeOutput returns the part of an error message that shows the digest of the output.
func (p *Process) describeOutput() string {
	if p.log != nil {
		return fmt.Sprintf("the end of %s:\n%s", p.log.path, Excerpt(p.Output()))
	}
	return "its output:\n" + Excerpt(p.Output())
}

// errorLine matches a line that reports an error. fatalLine matches a line that a program prints
// because it is about to die. A Go program that panics prints the reason first and then a long dump
// of its goroutines, so the last lines do not contain the reason.
var (
	errorLine = regexp.MustCompile(`(?i)\blevel=error\b|"level":"error"|^error\b|\bERROR:`)
	fatalLine = regexp.MustCompile(`(?i)\blevel=(fatal|panic)\b|"level":"(fatal|panic)"|^panic: |^fatal error: |^runtime: |\bFATAL\b`)
)

// Excerpt cuts a program's output to what fits into an error message: the first line about an error,
// the first line about a fatal one, and the last lines. It puts "..." where lines are missing.
func Excerpt(output string) string {
	lines := strings.Split(strings.TrimSpace(output), "\n")
	if len(lines) == 1 && lines[0] == "" {
		return "(it wrote nothing)"
	}
	tail := max(0, len(lines)-tailLines)
	show := []int{slices.IndexFunc(lines, errorLine.MatchString), slices.IndexFunc(lines, fatalLine.MatchString)}
	show = slices.DeleteFunc(show, func(line int) bool { return line < 0 || line >= tail })
	slices.Sort(show)
	var excerpt []string
	next := 0
	for _, line := range slices.Compact(show) {
		if line > next {
			excerpt = append(excerpt, "...")
		}
		excerpt = append(excerpt, lines[line])
		next = line + 1
	}
	if tail > next {
		excerpt = append(excerpt, "...")
	}
	return strings.Join(append(excerpt, lines[tail:]...), "\n")
}
