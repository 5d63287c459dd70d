// Package runbook reads the messages that a page explains to operators.
package runbook

import (
	"regexp"
	"strings"
)

// Message is a message of the program as a page quotes it: its parts, between which other text may stand.
type Message []string

var (
	row    = regexp.MustCompile("(?m)^\\| (`.*?) \\|")
	quoted = regexp.MustCompile("`([^`]+)`")
)

// Messages returns the quoted messages in the first columns of the tables in a section of a page.
func Messages(page, heading string) []Message {
	_, section, _ := strings.Cut(page, "\n## "+heading+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var all []Message
	for _, cell := range row.FindAllStringSubmatch(section, -1) {
		for _, text := range quoted.FindAllStringSubmatch(cell[1], -1) {
			m := Message(strings.Split(text[1], "..."))
			for i, part := range m {
				m[i] = strings.TrimSpace(part)
			}
			all = append(all, m)
		}
	}
	return all
}

// String returns the message as the page quotes it.
func (m Message) String() string { return strings.TrimSpace(strings.Join(m, " ... ")) }

// In reports whether the text has the parts of the message in their order. A page cannot quote the backticks of a text,
// so they do not count.
func (m Message) In(text string) bool {
	text = strings.ReplaceAll(text, "`", "")
	for _, part := range m {
		_, after, found := strings.Cut(text, part)
		if !found {
			return false
		}
		text = after
	}
	return true
}
