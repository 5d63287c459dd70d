package activities_test

import (
	"fmt"
	"strings"
	"time"

	"memexport/internal/service/archive"
	"memexport/internal/service/export"
	"memexport/internal/service/format"
	"memexport/internal/service/memory"
	"memexport/internal/workshop/demo"
)

// fill adds n demo memories to the workspace.
func (h *harness) fill(n int) {
	h.Helper()
	if _, err := demo.Fill(h.Context(), h.db, workspaceID, n); err != nil {
		h.Fatal(err)
	}
}

// insert adds a memory for each text to the workspace, in this order.
func (h *harness) insert(texts ...string) {
	h.Helper()
	for i, text := range texts {
		h.exec(`INSERT INTO memories (id, memory, priority, status, workspace_id, created_at) VALUES ($1, $2, 'LOW', 'COMPLETED', $3, $4)`,
			fmt.Sprintf("0190a000-0000-4000-8000-%012x", i), text, workspaceID, time.Date(2026, 1, 1, 0, 0, i, 0, time.UTC))
	}
}

// text returns a text of up to n bytes. It contains characters of several bytes, and characters that
// formats must escape.
func text(n int) string {
	const piece = "Präferenz: \"好き\" <b>\\ [x]\r\n\tñ, 👩🏽‍🚀\n"
	text := strings.Repeat(piece, n/len(piece)+1)[:n]
	return strings.ToValidUTF8(text, "")
}

// encoded returns the file that an export of all memories of the workspace must have. It makes the file
// in the simplest way: it reads all memories with one query and encodes one after the other. From the
// export's recorded parts, encoded takes only how many memories each part has and whether there is a
// footer.
func (h *harness) encoded(id string, f *format.Format) string {
	h.Helper()
	w := &fileWriter{harness: h, format: f, encoder: f.NewEncoder(), file: []byte(f.Prefix), start: len(f.Prefix), parts: h.parts(id)}
	h.eachMemory(w.add)
	return w.finish(id)
}

// fileWriter writes the expected file of an export.
type fileWriter struct {
	*harness
	format  *format.Format
	encoder format.Encoder
	parts   []export.Part // the recorded parts that the file does not contain yet

	file     []byte
	start    int // where the current part begins in file
	memories int64
	made     []format.FooterPart
}

func (w *fileWriter) add(m *memory.Memory) {
	if len(w.file) > len(w.format.Prefix) {
		w.file = append(w.file, w.format.Separator...)
	}
	if w.format.NewFooter == nil {
		w.file = w.encoder.Append(w.file, m)
		return
	}
	if len(m.Text) > 4*mebibyte { // memory.Source reads a text of this size in several pieces
		m.Size = int64(len(m.Text))
		w.file = w.encoder.After(w.encoder.Text(w.encoder.Before(w.file, m), m.Text), m)
	} else {
		w.file = w.encoder.Append(w.file, m)
	}
	w.memories++
	for len(w.parts) > 0 && w.parts[0].Memories == 0 {
		w.parts = w.parts[1:] // the memory continues in the next part
	}
	if len(w.parts) == 0 {
		w.Fatal("there are more memories than in the recorded parts")
	}
	if w.memories == w.parts[0].Memories {
		var entry []byte
		var err error
		if w.file, entry, err = w.encoder.Finish(w.file); err != nil {
			w.Fatal(err)
		}
		w.made = append(w.made, format.FooterPart{Size: int64(len(w.file) - w.start), Entry: entry})
		w.start, w.memories, w.parts = len(w.file), 0, w.parts[1:]
	}
}

func (w *fileWriter) finish(id string) string {
	w.Helper()
	if w.format.NewFooter == nil {
		return string(append(w.file, w.format.Suffix...))
	}
	if len(w.parts) == 0 {
		return string(w.file) // the export is not published yet
	}
	e := w.find(id)
	footer := w.format.NewFooter(format.Info{ExportID: id, Filters: e.Filter.Names(), Memories: e.MemoryCount, Entries: len(w.made)})
	var err error
	for _, p := range w.made {
		if w.file, err = footer.Append(w.file, p); err != nil {
			w.Fatal(err)
		}
	}
	if w.file, err = footer.Finish(w.file); err != nil {
		w.Fatal(err)
	}
	return string(w.file)
}

// eachMemory calls visit with every memory of the workspace, in the order in which the file contains them.
func (h *harness) eachMemory(visit func(m *memory.Memory)) {
	h.Helper()
	const micros = `(extract(epoch FROM %[1]s) * 1000000)::bigint - 946684800000000 AS %[1]s`
	rows, err := h.db.Query(`SELECT id::text, memory, user_id, agent_id, session_id, priority, status,
		array_to_json(categories)::text, metadata::text, workspace_id::text, access_count, ` +
		fmt.Sprintf(micros, "last_accessed_at") + `, ` + fmt.Sprintf(micros, "created_at") + `, ` + fmt.Sprintf(micros, "updated_at") + `
		FROM memories WHERE workspace_id = '` + workspaceID + `' ORDER BY memories.created_at, memories.id`)
	if err != nil {
		h.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var m memory.Memory
		var accessed *memory.Time
		err := rows.Scan(&m.ID, &m.Text, &m.UserID, &m.AgentID, &m.SessionID, &m.Priority, &m.Status, &m.Categories, &m.Metadata,
			&m.WorkspaceID, &m.AccessCount, &accessed, &m.CreatedAt, &m.UpdatedAt)
		if err != nil {
			h.Fatal(err)
		}
		if accessed != nil {
			m.LastAccessedAt = memory.NullTime{Time: *accessed, Valid: true}
		}
		visit(&m)
	}
	if err := rows.Err(); err != nil {
		h.Fatal(err)
	}
}

// wantFile checks that the file of an export is equal to the result of encoded.
func (h *harness) wantFile(id string, f *format.Format) {
	h.Helper()
	got, want := h.file(id, f), h.encoded(id, f)
	if got == want {
		return
	}
	at := 0
	for at < min(len(got), len(want)) && got[at] == want[at] {
		at++
	}
	h.Errorf("the %s file has %d bytes, want %d; from byte %d it is\n%.80q, want\n%.80q", f.Name, len(got), len(want), at, got[at:], want[at:])
}

// split divides the memories of the workspace into n ranges.
func (h *harness) split(n int) []memory.PlannedRange {
	h.Helper()
	rows, err := h.db.Query(`SELECT id::text, (extract(epoch FROM created_at) * 1000000)::bigint - 946684800000000
		FROM memories WHERE workspace_id = $1 ORDER BY created_at, id`, workspaceID)
	if err != nil {
		h.Fatal(err)
	}
	defer rows.Close()
	var keys []memory.Key
	for rows.Next() {
		var k memory.Key
		if err := rows.Scan(&k.ID, &k.CreatedAt); err != nil {
			h.Fatal(err)
		}
		keys = append(keys, k)
	}
	if err := rows.Err(); err != nil {
		h.Fatal(err)
	}
	ranges := make([]memory.PlannedRange, n)
	for i := range ranges {
		mine := keys[i*len(keys)/n : (i+1)*len(keys)/n]
		ranges[i] = memory.PlannedRange{Range: memory.Range{First: mine[0], Last: mine[len(mine)-1]}, Estimate: int64(len(mine))}
	}
	return ranges
}

// digestOf returns the digest of all recorded parts of an export.
func (h *harness) digestOf(id string, f *format.Format) archive.Digest {
	h.Helper()
	parts := export.Stored(h.parts(id))
	digest, err := h.Archive.Extend(h.Context(), f, archive.Digest{}, parts)
	if err != nil {
		h.Fatal(err)
	}
	return digest
}
