package measure

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
)

// Table is a result that is printed in Markdown.
type Table struct {
	Title string
	Note  string // what the reader must know, printed below the table
	Head  []string
	rows  [][]string
}

// Add adds a row. Cells are written as fmt.Sprint writes them.
func (t *Table) Add(cells ...any) {
	var row []string
	for _, cell := range cells {
		row = append(row, fmt.Sprint(cell))
	}
	t.rows = append(t.rows, row)
}

// Markdown returns the table with columns padded to the same width, so that it is also easy to read
// as plain text.
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
			if i == 0 { // labels are aligned left, numbers right
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

// Seconds writes a duration as a cell in seconds. Like all functions below, it writes zero, which
// stands for unknown, as "-".
func Seconds(d time.Duration) string { return Fixed(d.Seconds(), 2) }

// Millis writes a duration as a cell in milliseconds.
func Millis(d time.Duration) string { return Fixed(float64(d)/float64(time.Millisecond), 1) }

// Megabytes writes a size as a cell in units of 1,000,000 bytes.
func Megabytes(bytes int64) string { return Fixed(float64(bytes)/1e6, 0) }

// Mebibytes writes a size as a cell in units of 1,048,576 bytes.
func Mebibytes(bytes int64) string { return Fixed(float64(bytes)/(1<<20), 0) }

// PerSecond writes n things in a duration as a cell in whole things a second: "1,234,567".
func PerSecond(n float64, d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return humanize.Comma(int64(n / d.Seconds()))
}

// Fixed writes a value as a cell with that many digits after the point.
func Fixed(value float64, digits int) string {
	if value == 0 {
		return "-"
	}
	return fmt.Sprintf("%.*f", digits, value)
}
