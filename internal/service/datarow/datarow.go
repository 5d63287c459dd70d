// Package datarow reads the columns of a result from the messages (DataRow) in which Postgres has sent them.
//
// For every text, lib/pq and database/sql allocate twice and copy twice, which was a third of the worker's time
// for reading. lib/pq returns a bytea as a slice of the message, and the slice's capacity includes the rest of
// the message. So a query with FirstColumn makes lib/pq decode only the first column of each row, and Columns
// finds the others behind it in the message.
package datarow

import (
	"context"
	"encoding/binary"
	"errors"
)

// FirstColumn returns a context in which the rows of a query have only their first column.
func FirstColumn(ctx context.Context) context.Context {
	return context.WithValue(ctx, firstColumnKey{}, true)
}

type firstColumnKey struct{}

// WantsFirstColumn reports whether ctx comes from FirstColumn.
func WantsFirstColumn(ctx context.Context) bool { return ctx.Value(firstColumnKey{}) != nil }

// ErrLayout means that the columns do not follow the first one. This version of lib/pq is then not supported.
var ErrLayout = errors.New("a row does not have the layout that this program expects from lib/pq")

// Columns sets columns to the columns that follow the first one, as Postgres has sent them: bytea, uuid and
// integers in binary, other types as text. A column that is NULL becomes nil. The columns are valid as long as
// first.
//
// first must come from a query with FirstColumn: it is the first column of a row, has the type bytea, and was
// scanned into a sql.RawBytes. The query must have arguments, because lib/pq otherwise requests everything as
// text.
func Columns(first []byte, columns [][]byte) error {
	rest := first[len(first):cap(first)]
	for i := range columns {
		if len(rest) < 4 {
			return ErrLayout
		}
		length := int32(binary.BigEndian.Uint32(rest))
		rest = rest[4:]
		switch {
		case length == -1:
			columns[i] = nil
		case length < 0 || int(length) > len(rest):
			return ErrLayout
		default:
			columns[i], rest = rest[:length:length], rest[length:]
		}
	}
	return nil
}
