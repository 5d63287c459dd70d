// Package progress tells people how far something is: with a bar on a terminal, with a line now and
// then elsewhere, and not at all when it is to be quiet.
package progress

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// How often a bar is drawn, and a line written.
const barEvery, lineEvery = 100 * time.Millisecond, 5 * time.Second

// Reporter writes for people. It is not safe for concurrent use.
type Reporter struct {
	out      io.Writer
	terminal bool
	quiet    bool
	bar      *progressbar.ProgressBar // the one that is drawn, if any
}

// New writes to file, usually standard error. A quiet reporter writes nothing.
func New(file *os.File, quiet bool) *Reporter {
	return &Reporter{out: file, terminal: term.IsTerminal(int(file.Fd())), quiet: quiet}
}

// Terminal reports whether somebody may be watching.
func (r *Reporter) Terminal() bool { return r.terminal && !r.quiet }

// Say writes a line, above the bar if there is one.
func (r *Reporter) Say(format string, args ...any) {
	if r.quiet {
		return
	}
	if r.bar != nil {
		_ = r.bar.Clear() // what cannot be drawn is not worth failing for, here and below
	}
	fmt.Fprintf(r.out, format+"\n", args...)
}

// Unit is what is counted.
type Unit int

const (
	Memories Unit = iota
	Bytes
)

func (u Unit) text(n int64) string {
	if u == Bytes {
		return humanize.Bytes(uint64(max(n, 0)))
	}
	return humanize.Comma(n) + " memories"
}

func (u Unit) rate(perSecond float64) string {
	if u == Bytes {
		return humanize.Bytes(uint64(perSecond)) + "/s"
	}
	return humanize.Comma(int64(perSecond)) + " memories/s"
}

// Task is one thing under way.
type Task struct {
	r     *Reporter
	title string
	unit  Unit

	began       time.Time
	first       int64 // the amount at the beginning, which is no achievement of this task
	firstShare  float64
	last        string
	lastWritten time.Time
}

// Begin starts a task. Its title is like "exporting".
func (r *Reporter) Begin(title string, unit Unit) *Task {
	if r.Terminal() {
		r.bar = progressbar.NewOptions(1000, progressbar.OptionSetWriter(r.out), progressbar.OptionSetWidth(30),
			progressbar.OptionSetPredictTime(false), progressbar.OptionShowDescriptionAtLineEnd(), progressbar.OptionUseANSICodes(true))
	}
	return &Task{r: r, title: title, unit: unit}
}

// Set says how far the task is: an amount, and the share of the whole, from 0 to 1.
func (t *Task) Set(amount int64, share float64) {
	if t.r.quiet {
		return
	}
	now := time.Now()
	if t.began.IsZero() {
		t.began, t.first, t.firstShare = now, amount, share
	}
	t.last = t.text(amount, share, now.Sub(t.began))
	every := lineEvery
	if t.r.bar != nil {
		every = barEvery
	}
	if now.Sub(t.lastWritten) < every {
		return
	}
	t.lastWritten = now
	t.write(share)
}

func (t *Task) write(share float64) {
	if t.r.bar == nil {
		fmt.Fprintf(t.r.out, "%s\n", t.last)
		return
	}
	_ = t.r.bar.Set(int(share * 999)) // one that is full would end the line
	t.r.bar.Describe(t.last)
}

// text is such as "downloading: 1.2 MB, 24%, 600 kB/s, 6s left".
func (t *Task) text(amount int64, share float64, elapsed time.Duration) string {
	text := t.title + ": " + t.unit.text(amount)
	if t.r.bar == nil {
		text += fmt.Sprintf(", %d%%", int(share*100))
	}
	if elapsed < time.Second/2 || amount <= t.first || share <= t.firstShare {
		return text
	}
	text += ", " + t.unit.rate(float64(amount-t.first)/elapsed.Seconds())
	if share < 1 {
		left := time.Duration(float64(elapsed) * (1 - share) / (share - t.firstShare))
		text += fmt.Sprintf(", %s left", max(left.Round(time.Second), time.Second))
	}
	return text
}

// End ends the task, with the last that was set.
func (t *Task) End() {
	if t.r.quiet || t.last == "" {
		return
	}
	if t.r.bar == nil {
		fmt.Fprintln(t.r.out, t.last)
		return
	}
	_ = t.r.bar.Clear()
	fmt.Fprintln(t.r.out, t.last)
	t.r.bar = nil
}
