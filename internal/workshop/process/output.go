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
	maxLogSize = 8 << 20 // a log that is larger at the start is renamed to .old
	readLimit  = 1 << 20 // how much of the end of a log is looked at for a message
	tailLines  = 12      // how much of the end a message shows
)

// Buffer keeps what a child prints. It may be read while the child writes.
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

// String returns all that was written so far.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// logFile is a file that children append to.
type logFile struct {
	path  string
	begin int64 // where this child's output begins
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

// text returns what this child wrote; of more than 1 MiB, the end.
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

// Output returns what the child has printed so far: of a long log, the last MiB. It is empty unless
// the child has a log, or its Stdout or Stderr is a *Buffer.
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

// describeOutput is the part of a message that shows the output.
func (p *Process) describeOutput() string {
	if p.log != nil {
		return fmt.Sprintf("the end of %s:\n%s", p.log.path, Digest(p.Output()))
	}
	return "its output:\n" + Digest(p.Output())
}

// What programs write when something is wrong, and before they die. A Go program that panics writes
// the reason first and then a dump of its goroutines, which pushes the reason out of the last lines.
var (
	errorLine = regexp.MustCompile(`(?i)\blevel=error\b|"level":"error"|^error\b|\bERROR:`)
	fatalLine = regexp.MustCompile(`(?i)\blevel=(fatal|panic)\b|"level":"(fatal|panic)"|^panic: |^fatal error: |^runtime: |\bFATAL\b`)
)

// Digest cuts a program's output to what fits into an error message: the first line about an error,
// the first line about a fatal one, and the last lines. It puts "..." where lines are missing.
func Digest(output string) string {
	lines := strings.Split(strings.TrimSpace(output), "\n")
	if len(lines) == 1 && lines[0] == "" {
		return "(it wrote nothing)"
	}
	tail := max(0, len(lines)-tailLines)
	show := []int{slices.IndexFunc(lines, errorLine.MatchString), slices.IndexFunc(lines, fatalLine.MatchString)}
	show = slices.DeleteFunc(show, func(line int) bool { return line < 0 || line >= tail })
	slices.Sort(show)
	var digest []string
	next := 0
	for _, line := range slices.Compact(show) {
		if line > next {
			digest = append(digest, "...")
		}
		digest = append(digest, lines[line])
		next = line + 1
	}
	if tail > next {
		digest = append(digest, "...")
	}
	return strings.Join(append(digest, lines[tail:]...), "\n")
}
