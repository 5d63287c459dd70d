package measure

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
)

// Table is a result to be printed as a Markdown table.
type Table struct {
	Title string
	Note  string // printed below the table
	Head  []string
	rows  [][]string
}

// Add adds a row. It formats the cells with fmt.Sprint.
func (t *Table) Add(cells ...any) {
	var row []string
	for _, cell := range cells {
		row = append(row, fmt.Sprint(cell))
	}
	t.rows = append(t.rows, row)
}

// Markdown returns the table in Markdown. It pads the cells of a column to the same width, so that
// the table is also readable as plain text.
func (t *Table) Markdown() string {
	widths := make([]int, len(t.Head))
	for _, row := range append([][]string{t.Head}, t.rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	line := func(row []string) {
		for i, cell := range row {
			gap := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 { // align labels left and numbers right
				cell += gap
			} else {
				cell = gap + cell
			}
			b.WriteString("| " + cell + " ")
		}
		b.WriteString("|\n")
	}
	fmt.Fprintf(&b, "### %s\n\n", t.Title)
	line(t.Head)
	for i, width := range widths {
		if i == 0 {
			b.WriteString("| " + strings.Repeat("-", width) + " ")
		} else {
			b.WriteString("| " + strings.Repeat("-", width-1) + ": ")
		}
	}
	b.WriteString("|\n")
	for _, row := range t.rows {
		line(row)
	}
	if t.Note != "" {
		b.WriteString("\n" + t.Note + "\n")
	}
	return b.String()
}

// Seconds formats a duration in seconds, for a cell. Zero means that the duration is unknown, so it
// is formatted as "-". The functions below do the same.
func Seconds(d time.Duration) string { return Fixed(d.Seconds(), 2) }

// Millis formats a duration in milliseconds, for a cell.
func Millis(d time.Duration) string { return Fixed(float64(d)/float64(time.Millisecond), 1) }

// Megabytes formats a size in units of 1,000,000 bytes, for a cell.
func Megabytes(bytes int64) string { return Fixed(float64(bytes)/1e6, 0) }

// Mebibytes formats a size in units of 1,048,576 bytes, for a cell.
func Mebibytes(bytes int64) string { return Fixed(float64(bytes)/(1<<20), 0) }

// PerSecond formats the rate of n things in the duration d as a whole number per second, such as
// "1,234,567".
func PerSecond(n float64, d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return humanize.Comma(int64(n / d.Seconds()))
}

// Fixed formats a value with the given number of digits after the decimal point, for a cell.
func Fixed(value float64, digits int) string {
	if value == 0 {
		return "-"
	}
	return fmt.Sprintf("%.*f", digits, value)
}
