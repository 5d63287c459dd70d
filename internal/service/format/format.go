// Package format encodes memories as the files that users download. A new format is one file like
// csv.go and one line in All. The conformance suite then fails until the format has a parser that
// reads its files back.
package format

import "memexport/internal/service/memory"

// Format is one file format. It holds everything in which formats differ. A file is the Prefix, the
// memories with the Separator between every two, and the Suffix. The same memories always make the
// same bytes.
type Format struct {
	Name        string // the value of the API's parameter "format"
	ContentType string
	Extension   string // of the file's name, without the dot

	Prefix    string
	Separator string
	Suffix    string

	before func(dst []byte, m *memory.Memory) []byte
	text   func(dst, piece []byte, prev byte) []byte
	after  func(dst []byte, m *memory.Memory) []byte
}

// All lists the formats that an export can have, the default first.
var All = []*Format{JSON, CSV, Markdown}

// Lookup returns the format with the given name.
func Lookup(name string) (*Format, bool) {
	for _, f := range All {
		if f.Name == name {
			return f, true
		}
	}
	return nil, false
}

// Names returns the names of all formats, the default first.
func Names() []string {
	names := make([]string, len(All))
	for i, f := range All {
		names[i] = f.Name
	}
	return names
}

// Append appends a memory whose text is complete.
func (f *Format) Append(dst []byte, m *memory.Memory) []byte {
	dst = f.before(dst, m)
	dst = f.text(dst, m.Text, 0)
	return f.after(dst, m)
}

// Before appends the part of a memory that precedes its text. An oversize text need not fit in
// memory: Before, then Text for every piece, then After append the same bytes as Append.
//
//	dst, prev := f.Before(dst, m), byte(0)
//	for piece := m.Text; piece != nil; piece, err = m.Rest() {
//		dst, prev = f.Text(dst, piece, prev)
//	}
//	dst = f.After(dst, m)
//
// Before and After look at m.Text only to see whether it is NULL.
func (f *Format) Before(dst []byte, m *memory.Memory) []byte { return f.before(dst, m) }

// Text appends one piece of a text. For the first piece prev is 0, for each later one it is what the
// previous call returned. A piece may end anywhere except inside the first character of the text.
func (f *Format) Text(dst, piece []byte, prev byte) (_ []byte, last byte) {
	if len(piece) == 0 {
		return dst, prev
	}
	return f.text(dst, piece, prev), piece[len(piece)-1]
}

// After appends the part of a memory that follows its text.
func (f *Format) After(dst []byte, m *memory.Memory) []byte { return f.after(dst, m) }
