// Package progress shows how far a task is: by a bar on a terminal, and by a line every few seconds
// elsewhere.
package progress

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"time"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// How often a bar is drawn, and how often a line is written: a bar should move, a log should stay short.
const barEvery, lineEvery = 100 * time.Millisecond, 5 * time.Second

// barWidth is the number of columns of a bar, where the terminal has room for it.
const barWidth = 30

// Reporter writes for people. It is not safe for concurrent use.
type Reporter struct {
	out     io.Writer
	columns func() int               // the width of the terminal; nil if out is not a terminal
	bar     *progressbar.ProgressBar // nil while no task is drawn
}

// New returns a Reporter that writes to file, usually standard error.
func New(file *os.File) *Reporter {
	r := &Reporter{out: file}
	if term.IsTerminal(int(file.Fd())) {
		r.columns = func() int {
			columns, _, err := term.GetSize(int(file.Fd()))
			if err != nil || columns <= 0 {
				return 80 // what terminals have by custom
			}
			return columns
		}
	}
	return r
}

// Silent returns a Reporter that writes nothing.
func Silent() *Reporter { return &Reporter{out: io.Discard} }

// Say writes a line, above the bar if there is one.
func (r *Reporter) Say(format string, args ...any) {
	if r.bar != nil {
		_ = r.bar.Clear() // a bar that cannot be drawn must not fail the task, here and below
	}
	fmt.Fprintf(r.out, format+"\n", args...)
}

// Unit is what a task counts.
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

// Task is one task in progress.
type Task struct {
	r     *Reporter
	title string
	unit  Unit

	began       time.Time
	first       int64 // the amount at the beginning, which an earlier process achieved
	firstShare  float64
	last        string
	lastWritten time.Time
}

// Begin starts a task. Its title is a word such as "exporting".
func (r *Reporter) Begin(title string, unit Unit) *Task {
	if r.columns != nil {
		r.bar = progressbar.NewOptions(1000, progressbar.OptionSetWriter(r.out), progressbar.OptionSetWidth(barWidth),
			progressbar.OptionSetPredictTime(false), progressbar.OptionShowDescriptionAtLineEnd(),
			// A console of Windows shows escape sequences as text, unless they are switched on.
			progressbar.OptionUseANSICodes(runtime.GOOS != "windows"))
	}
	return &Task{r: r, title: title, unit: unit}
}

// Set reports how far the task is: an amount, and its share of the whole, from 0 to 1.
func (t *Task) Set(amount int64, share float64) {
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
	// The bar shrinks by itself to what the text leaves of the line.
	t.r.bar.Describe(cut(t.last, t.r.columns()-emptyBar))
	_ = t.r.bar.Set(int(share * 999)) // a full bar would end the line
}

// emptyBar is the number of columns that a line has beside the text when its bar has no width.
const emptyBar = len(" 100% ||   ")

// cut shortens text to a number of columns. The texts here have one column a character.
func cut(text string, columns int) string {
	if utf8.RuneCountInString(text) <= columns {
		return text
	}
	return string([]rune(text)[:max(columns, 0)])
}

// text is such as "downloading: 1.2 MB, 24%, 600 kB/s, 6s left". A bar shows the percentage itself.
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

// End ends the task and leaves the last state as a line.
func (t *Task) End() {
	if t.last == "" {
		return
	}
	if t.r.bar != nil {
		_ = t.r.bar.Clear()
		t.r.bar = nil
	}
	fmt.Fprintln(t.r.out, t.last)
}
