// Package format encodes memories as the files that users download. A new format is one file like
// csv.go and one line in All; the conformance suite then asks for a parser that reads it back.
package format

import "memexport/internal/service/memory"

// Format describes one file format: everything that differs between formats lives here. A file is
// the Prefix, the memories with the Separator between each two, and the Suffix; all of its bytes
// are determined by the memories.
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

// All are the formats that an export can have, the default first.
var All = []*Format{JSON, CSV, Markdown}

// Lookup returns the format of a name.
func Lookup(name string) (*Format, bool) {
	for _, f := range All {
		if f.Name == name {
			return f, true
		}
	}
	return nil, false
}

// Names are the names of all formats.
func Names() []string {
	names := make([]string, len(All))
	for i, f := range All {
		names[i] = f.Name
	}
	return names
}

// Append appends a memory whose text is whole.
func (f *Format) Append(dst []byte, m *memory.Memory) []byte {
	dst = f.before(dst, m)
	dst = f.text(dst, m.Text, 0)
	return f.after(dst, m)
}

// Before appends what precedes a memory's text. Before, Text for every piece and After append
// together exactly what Append would, so that an oversize text need not be held:
//
//	dst, prev := f.Before(dst, m), byte(0)
//	for piece := m.Text; piece != nil; piece, err = m.Rest() {
//		dst, prev = f.Text(dst, piece, prev)
//	}
//	dst = f.After(dst, m)
//
// Before and After only ask of m.Text whether it is NULL.
func (f *Format) Before(dst []byte, m *memory.Memory) []byte { return f.before(dst, m) }

// Text appends one piece of a text, given what the call for the piece before it returned, or 0 for
// the first. Pieces may be cut anywhere except within the text's first character.
func (f *Format) Text(dst, piece []byte, prev byte) (_ []byte, last byte) {
	if len(piece) == 0 {
		return dst, prev
	}
	return f.text(dst, piece, prev), piece[len(piece)-1]
}

// After appends what follows a memory's text.
func (f *Format) After(dst []byte, m *memory.Memory) []byte { return f.after(dst, m) }
