package format

import (
	"strconv"

	"memexport/internal/service/memory"
)

// JSON is one array with one object per line. The object's keys are memory.Columns, in that order. NULL
// is written as null, metadata is embedded unchanged, and timestamps are strings. One distinction is
// lost: metadata that holds the JSON value null looks like metadata that is NULL.
var JSON = &Format{
	Name:        "json",
	ContentType: "application/json",
	Extension:   "json",
	Prefix:      "[",
	Separator:   ",",
	Suffix:      "\n]\n",
	NewEncoder:  newText(jsonBefore, jsonText, jsonAfter),
}

func jsonBefore(dst []byte, m *memory.Memory) []byte { return objectBefore(append(dst, '\n'), m) }

// objectBefore, jsonText and jsonAfter encode a memory as an object, without a line feed.
func objectBefore(dst []byte, m *memory.Memory) []byte {
	dst = append(dst, `{"id":"`...)
	dst = append(dst, m.ID...)
	if m.Text == nil {
		return append(dst, `","memory":null`...)
	}
	return append(dst, `","memory":"`...)
}

func jsonText(dst, piece []byte, _ byte) []byte { return appendEscaped(dst, piece) }

func jsonAfter(dst []byte, m *memory.Memory) []byte {
	if m.Text != nil {
		dst = append(dst, '"')
	}
	dst = appendJSONString(append(dst, `,"user_id":`...), m.UserID)
	dst = appendJSONString(append(dst, `,"agent_id":`...), m.AgentID)
	dst = appendJSONString(append(dst, `,"session_id":`...), m.SessionID)
	dst = appendJSONString(append(dst, `,"priority":`...), m.Priority)
	dst = appendJSONString(append(dst, `,"status":`...), m.Status)
	dst = appendJSONValue(append(dst, `,"categories":`...), m.Categories)
	dst = appendJSONValue(append(dst, `,"metadata":`...), m.Metadata)
	dst = append(append(dst, `,"workspace_id":"`...), m.WorkspaceID...)
	dst = strconv.AppendInt(append(dst, `","access_count":`...), m.AccessCount, 10)
	if m.LastAccessedAt.Valid {
		dst = m.LastAccessedAt.Time.Append(append(dst, `,"last_accessed_at":"`...))
		dst = append(dst, `","created_at":"`...)
	} else {
		dst = append(dst, `,"last_accessed_at":null,"created_at":"`...)
	}
	dst = m.CreatedAt.Append(dst)
	dst = m.UpdatedAt.Append(append(dst, `","updated_at":"`...))
	return append(dst, `"}`...)
}

func appendJSONValue(dst, value []byte) []byte {
	if value == nil {
		return append(dst, "null"...)
	}
	return append(dst, value...)
}

func appendJSONString(dst, s []byte) []byte {
	if s == nil {
		return append(dst, "null"...)
	}
	return append(appendEscaped(append(dst, '"'), s), '"')
}

var jsonStops = stopAt('"', '\\', '\\')

// appendEscaped appends s as it appears between the quotes of a JSON string. Postgres has validated
// that s is UTF-8.
func appendEscaped(dst, s []byte) []byte {
	for {
		n := jsonStops.run(s)
		dst = append(dst, s[:n]...)
		if n == len(s) {
			return dst
		}
		dst = memory.AppendJSONByte(dst, s[n])
		s = s[n+1:]
	}
}
