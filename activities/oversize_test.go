package activities_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"memexport/internal/service/attempt"
	"memexport/internal/service/export"
	"memexport/internal/service/format"
	"memexport/internal/workshop/await"
	"memexport/internal/workshop/pgtest"
)

const mebibyte = 1 << 20

func TestOversizeMemoriesAreEncodedLikeOthers(t *testing.T) {
	all := newHarness(t)
	for name, sizes := range map[string][]int{
		"3 MiB alone":            {3 * mebibyte},
		"20 MiB alone":           {20 * mebibyte},
		"in the middle":          {10, 20 * mebibyte, 10},
		"3 MiB in the middle":    {10, 3 * mebibyte, 10},
		"one after the other":    {10 * mebibyte, 3 * mebibyte, 10 * mebibyte},
		"just as large as a row": {mebibyte - 1, mebibyte, mebibyte + 1},
	} {
		for _, f := range format.All {
			if f != format.JSON && name != "one after the other" {
				continue // test the other formats in only one case, because they differ only in the bytes around a memory
			}
			t.Run(name+" "+f.Name, func(t *testing.T) {
				h := all.in(t)
				h.exec(`DELETE FROM memories`)
				var texts []string
				for _, size := range sizes {
					texts = append(texts, text(size))
				}
				h.insert(texts...)
				h.finish(h.oneRange(f), f, int64(len(sizes)))
			})
		}
	}
}

func TestThePartsOfAnOversizeMemoryAreRecordedTogether(t *testing.T) {
	all := newHarness(t)
	all.insert("before", text(18*mebibyte), "after")
	for part := 1; part <= 3; part++ {
		t.Run(fmt.Sprintf("part %d is not recorded", part), func(t *testing.T) {
			h := all.in(t)
			in := h.oneRange(format.JSON)
			repair := h.failOnPart(fmt.Sprintf("NEW.part = %d", part))
			_, err := do[export.Written](h, h.WriteRange, in)
			wantRetryable(t, err, attempt.TypeDatabaseUnavailable)
			if parts := h.parts(in.ExportID); len(parts) != 1 {
				t.Errorf("%d parts are recorded, want only the one before the memory", len(parts))
			}
			repair()
			h.finish(in, format.JSON, 3)
			if parts := h.parts(in.ExportID); len(parts) < 5 || parts[1].Continues || !parts[2].Continues || !parts[3].Continues ||
				parts[0].Separated || !parts[1].Separated || parts[2].Separated || !parts[len(parts)-1].Separated {
				t.Errorf("the parts are %+v", parts)
			}
		})
	}
}

func TestAnAttemptContinuesAfterAnOversizeMemory(t *testing.T) {
	h := newHarness(t)
	h.insert(text(10*mebibyte), "after", text(10*mebibyte))
	in := h.oneRange(format.Markdown)
	repair := h.failOnPart("NEW.part = 2") // fails the recording of part 2, which contains the memory "after"
	_, err := do[export.Written](h, h.WriteRange, in)
	wantRetryable(t, err, attempt.TypeDatabaseUnavailable)
	if parts := h.parts(in.ExportID); len(parts) != 2 {
		t.Errorf("%d parts are recorded", len(parts))
	}
	repair()
	h.finish(in, format.Markdown, 3)
}

// A retry cannot help, so it must not hold the export for hours. The error says which memory it is, but not what is in it.
func TestMetadataThatIsTooLargeFailsTheExport(t *testing.T) {
	h := newHarness(t)
	h.insert("before", "large", "after")
	for _, numbers := range []int{40, 600} { // each has 131,072 digits
		h.exec(fmt.Sprintf(`UPDATE memories SET metadata = (SELECT jsonb_agg('1e131071'::jsonb) FROM generate_series(1, %d)) WHERE memory = 'large'`, numbers))
		var id string
		if err := h.db.Get(&id, `SELECT id FROM memories WHERE memory = 'large'`); err != nil {
			t.Fatal(err)
		}
		_, err := do[export.Written](h, h.WriteRange, h.oneRange(format.JSON))
		wantFinal(t, err, attempt.TypeSourceInvalid)
		if err == nil || !strings.Contains(err.Error(), id) || strings.Contains(err.Error(), strings.Repeat("0", 20)) {
			t.Errorf("the error is %v, want one that names %s", err, id)
		}
	}
}

// Memories that are large but not oversize must not make parts much larger than PartSize, because buffers
// are as large as parts.
func TestPartsOfLargeMemoriesKeepTheSizeLimit(t *testing.T) {
	const size = 8 * mebibyte / 16
	h := newHarness(t)
	h.PartSize = size
	var texts []string
	for i := range 40 {
		texts = append(texts, text(size/9+i*1000))
	}
	h.insert(texts...)
	for _, f := range format.All {
		in := h.oneRange(f)
		h.finish(in, f, int64(len(texts)))
		for _, p := range h.parts(in.ExportID) {
			if p.Size > size+size/8 {
				t.Errorf("%s: a part has %d bytes, more than %d", f.Name, p.Size, size+size/8)
			}
		}
	}
}

// Recording a part may need the connection over which memories are read, if a pooler has no other one. So a reader
// must give its connections back while parts cannot be recorded.
func TestReadersDoNotHoldConnectionsUntilPartsAreRecorded(t *testing.T) {
	for name, texts := range map[string][]string{
		"many small memories":                      slices.Repeat([]string{text(1000)}, 200),
		"a memory that is read in pieces":          {text(40_000), text(1000), text(6 * mebibyte)},
		"a memory that ends two parts":             {text(40_000), text(40_000), text(1000), text(100_000)},
		"a memory of more than the page's maximum": {text(40_000), text(40_000), text(1000), text(2 * mebibyte)},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.PartSize = 32 << 10
			h.insert(texts...)
			reading := pgtest.OpenURL(t, h.url, 2)
			h.readOver(reading, "memories")
			in := h.oneRange(format.JSON)
			release := h.holdPart(0)
			result := make(chan error, 1)
			go func() {
				_, err := do[export.Written](h, h.WriteRange, in)
				result <- err
			}()
			h.waiting(1)
			await.True(t, patience, "the reader has given its connections back", func() bool { return reading.Stats().InUse == 0 })
			if parts := h.parts(in.ExportID); len(parts) != 0 {
				t.Errorf("%d parts are recorded", len(parts))
			}
			release()
			if err := <-result; err != nil {
				t.Fatal(err)
			}
			h.finish(in, format.JSON, int64(len(texts)))
		})
	}
}
