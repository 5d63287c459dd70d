// Package progress shows the progress of a task. On a terminal it draws a bar. Otherwise it writes
// a line every few seconds.
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

// barEvery is short so that a bar moves smoothly. lineEvery is long so that a log stays short.
const barEvery, lineEvery = 100 * time.Millisecond, 5 * time.Second

// barWidth is the width of a bar in columns, if the terminal has room for it.
const barWidth = 30

// Reporter writes progress and messages for people. It is not safe for concurrent use.
type Reporter struct {
	out     io.Writer
	columns func() int               // the width of the terminal; nil if out is not a terminal
	bar     *progressbar.ProgressBar // nil if no task is shown as a bar
}

// New returns a Reporter that writes to file, usually standard error.
func New(file *os.File) *Reporter {
	r := &Reporter{out: file}
	if term.IsTerminal(int(file.Fd())) {
		r.columns = func() int {
			columns, _, err := term.GetSize(int(file.Fd()))
			if err != nil || columns <= 0 {
				return 80 // the usual width of a terminal
			}
			return columns
		}
	}
	return r
}

// Silent returns a Reporter that writes nothing.
func Silent() *Reporter { return &Reporter{out: io.Discard} }

// Say writes a line. If there is a bar, the line appears above it.
func (r *Reporter) Say(format string, args ...any) {
	if r.bar != nil {
		_ = r.bar.Clear() // ignore this error and the ones below: the task must not fail because its bar cannot be drawn
	}
	fmt.Fprintf(r.out, format+"\n", args...)
}

// Unit is the unit in which the amount of a task is counted.
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

// Task is a task whose progress is shown.
type Task struct {
	r     *Reporter
	title string
	unit  Unit

	began       time.Time
	first       int64 // the amount that an earlier process had reached
	firstShare  float64
	last        string
	lastWritten time.Time
}

// Begin starts a task. The title is a word such as "exporting".
func (r *Reporter) Begin(title string, unit Unit) *Task {
	if r.columns != nil {
		r.bar = progressbar.NewOptions(1000, progressbar.OptionSetWriter(r.out), progressbar.OptionSetWidth(barWidth),
			progressbar.OptionSetPredictTime(false), progressbar.OptionShowDescriptionAtLineEnd(),
			// A Windows console shows escape sequences as text unless they are enabled.
			progressbar.OptionUseANSICodes(runtime.GOOS != "windows"))
	}
	return &Task{r: r, title: title, unit: unit}
}

// Set reports the progress: the amount so far, and the share of the whole task, from 0 to 1.
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
	// The bar uses only the columns that the text leaves free.
	t.r.bar.Describe(cut(t.last, t.r.columns()-emptyBar))
	_ = t.r.bar.Set(int(share * 999)) // never show 100%, because then the progress bar library ends the line
}

// emptyBar is the number of columns for the percentage, the borders of the bar and the spaces.
const emptyBar = len(" 100% ||   ")

// cut shortens a text to a number of columns. Every character of these texts has one column.
func cut(text string, columns int) string {
	if utf8.RuneCountInString(text) <= columns {
		return text
	}
	return string([]rune(text)[:max(columns, 0)])
}

// text returns the text for the current state, such as "downloading: 1.2 MB, 24%, 600 kB/s, 6s
// left". It leaves out the percentage if there is a bar, because the bar shows it.
func (t *Task) text(amount int64, share float64, elapsed time.Duration) string {
	text := t.title + ": " + t.unit.text(amount)
	if t.r.bar == nil {
		text += fmt.Sprintf(", %d%%", int(share*100))
	}
	if elapsed < time.Second/2 || amount <= t.first || share <= t.firstShare {
		return text
	}
	text += ", " + t.unit.rate(float64(amount-t.first)/elapsed.Seconds())
	if share < 1 && (t.unit == Bytes || share < estimated) {
		left := time.Duration(float64(elapsed) * (1 - share) / (share - t.firstShare))
		text += fmt.Sprintf(", %s left", max(left.Round(time.Second), time.Second))
	}
	return text
}

// estimated is a share of an export. Once this share is done, the remaining time is no longer shown. The service
// estimates the number of memories. Because the estimate may be too low, the share of an export grows more and
// more slowly after this point.
const estimated = 0.9

// End ends the task. If the task was shown, its last state stays as a line.
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
