package format

import "memexport/internal/service/memory"

// NDJSON is one object per line, the same object as in JSON. If an export has no memories, its file
// is empty.
var NDJSON = &Format{
	Name:        "ndjson",
	ContentType: "application/x-ndjson",
	Extension:   "ndjson",
	NewEncoder:  newText(objectBefore, jsonText, ndjsonAfter),
}

func ndjsonAfter(dst []byte, m *memory.Memory) []byte { return append(jsonAfter(dst, m), '\n') }
