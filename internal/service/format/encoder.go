package format

import "memexport/internal/service/memory"

// Encoder encodes memories into parts of a file, one part after the other. A part consists of all
// bytes appended up to and including the next Finish. An Encoder is not safe for concurrent use.
type Encoder interface {
	// Append encodes a memory whose text is complete. It appends the result to dst, or keeps it until
	// Finish.
	Append(dst []byte, m *memory.Memory) []byte

	// Before, Text and After encode an oversize memory, whose text need not fit in RAM. If the encoder
	// keeps bytes until Finish, call Finish twice: once before Before, for the memories that came earlier,
	// and once after After.
	//
	//	dst = e.Before(dst, m)
	//	for piece := m.Text; piece != nil; piece, err = m.Rest() {
	//		dst = e.Text(dst, piece)
	//	}
	//	dst = e.After(dst, m)
	//
	// Before and After look at m.Text only to see whether it is NULL. A piece may end anywhere except
	// inside the first character of the text.
	Before(dst []byte, m *memory.Memory) []byte
	Text(dst, piece []byte) []byte
	After(dst []byte, m *memory.Memory) []byte

	// Pending returns an upper bound for the number of bytes that Finish appends.
	Pending() int

	// Finish ends a part: it appends what the encoder has kept so far. The entry describes the part for
	// Format.NewFooter; it is nil if the format has no footer. The error is the first one that any call
	// has met since the last Finish.
	Finish(dst []byte) (_, entry []byte, err error)
}

// textEncoder is the Encoder of formats that append each memory at once.
type textEncoder struct {
	before func(dst []byte, m *memory.Memory) []byte
	text   func(dst, piece []byte, prev byte) []byte
	after  func(dst []byte, m *memory.Memory) []byte

	prev byte // last byte of the previous piece; 0 before the first piece
}

// newText returns a constructor of encoders. The function text gets a piece of a text, and the last byte
// of the previous piece. For the first piece that byte is 0. Only the first piece may be empty.
func newText(before func([]byte, *memory.Memory) []byte, text func(dst, piece []byte, prev byte) []byte, after func([]byte, *memory.Memory) []byte) func() Encoder {
	return func() Encoder { return &textEncoder{before: before, text: text, after: after} }
}

func (e *textEncoder) Append(dst []byte, m *memory.Memory) []byte {
	dst = e.before(dst, m)
	dst = e.text(dst, m.Text, 0)
	return e.after(dst, m)
}

func (e *textEncoder) Before(dst []byte, m *memory.Memory) []byte {
	e.prev = 0
	return e.before(dst, m)
}

func (e *textEncoder) Text(dst, piece []byte) []byte {
	if len(piece) == 0 {
		return dst
	}
	dst = e.text(dst, piece, e.prev)
	e.prev = piece[len(piece)-1]
	return dst
}

func (e *textEncoder) After(dst []byte, m *memory.Memory) []byte { return e.after(dst, m) }

func (*textEncoder) Pending() int { return 0 }

func (*textEncoder) Finish(dst []byte) (_, entry []byte, err error) { return dst, nil, nil }
