package activities_test

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"memexport/activities"
	"memexport/internal/service/attempt"
	"memexport/internal/service/export"
	"memexport/internal/service/format"
	"memexport/internal/service/partwriter"
)

// writeFooter writes the footer of an export without publishing the export, like an attempt of Publish
// that dies after writing the footer.
func (h *harness) writeFooter(id string, f *format.Format) []export.Part {
	h.Helper()
	w := &partwriter.Writer{Source: h.Source, Exports: h.Exports, Archive: h.Archive, PartSize: h.PartSize}
	footer, err := w.WriteFooter(h.Context(), h.find(id), f)
	if err != nil {
		h.Fatal(err)
	}
	return footer
}

func TestARecordedFooterIsUsedAgain(t *testing.T) {
	h := newHarness(t)
	h.PartSize = 8 << 10
	h.fill(300)
	id := h.create(format.Parquet)
	ranges, err := h.Exports.Start(t.Context(), id, h.split(2))
	if err != nil {
		t.Fatal(err)
	}
	in := h.written(id, activities.PlanResult{Ranges: ranges})
	first, second := h.writeFooter(id, format.Parquet), h.writeFooter(id, format.Parquet)
	if len(first) < 2 || !reflect.DeepEqual(first, second) {
		t.Errorf("the footers are %+v and %+v, want the same one in several parts", first, second)
	}
	result := must[activities.PublishResult](h, h.Publish, in)
	h.wantFile(id, format.Parquet)
	if parts := h.parts(id); len(parts) < in.Written.Parts || !reflect.DeepEqual(parts[in.Written.Parts:], first) {
		t.Errorf("%d parts were written, recorded are %+v", in.Written.Parts, parts)
	}
	if result.Memories != 300 || result.Bytes != int64(len(h.file(id, format.Parquet))) {
		t.Errorf("published is %+v", result)
	}
}

func TestAFooterThatLacksAPartIsNeverPublished(t *testing.T) {
	h := newHarness(t)
	h.PartSize = 8 << 10
	h.fill(300)
	id := h.create(format.Parquet)
	ranges, err := h.Exports.Start(t.Context(), id, h.split(2))
	if err != nil {
		t.Fatal(err)
	}
	must[export.Written](h, h.WriteRange, activities.WriteRangeInput{ExportID: id, Number: 0, Range: ranges[0].Range})
	h.writeFooter(id, format.Parquet)
	in := h.written(id, activities.PlanResult{Ranges: ranges})
	_, err = do[activities.PublishResult](h, h.Publish, in)
	wantFinal(t, err, attempt.TypeCountMismatch)
	h.wantStatus(id, export.Processing)
}

func TestADamagedFooterIsNeverPublished(t *testing.T) {
	h := newHarness(t)
	h.fill(50)
	id, plan := h.started(format.Parquet)
	in := h.written(id, plan)
	path := filepath.Join(h.dir, filepath.FromSlash(h.writeFooter(id, format.Parquet)[0].Object))
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = do[activities.PublishResult](h, h.Publish, in)
	wantFinal(t, err, attempt.TypeStorageCorrupt)
	h.wantStatus(id, export.Processing)
}

func TestAnExportWithoutMemoriesHasAFooter(t *testing.T) {
	h := newHarness(t)
	id, plan := h.started(format.Parquet)
	must[activities.PublishResult](h, h.Publish, h.written(id, plan))
	h.wantFile(id, format.Parquet)
	if size := len(h.file(id, format.Parquet)); size < 100 {
		t.Errorf("the file has %d bytes", size)
	}
}

// A footer entry contains the least and the greatest user_id, so it is personal data and must be deleted
// too.
func TestThePurgeDeletesFooterEntries(t *testing.T) {
	h := newHarness(t)
	h.fill(50)
	id := h.published(format.Parquet)
	count := func() (n int) {
		if err := h.db.Get(&n, `SELECT count(*) FROM memexport.export_parts WHERE export_id = $1 AND footer_entry IS NOT NULL`, id); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if count() == 0 {
		t.Error("no entry was recorded")
	}
	must[any](h, h.Expire, activities.ExpireInput{ExportID: id})
	must[any](h, h.Purge, h.ref(id))
	if n := count(); n != 0 {
		t.Errorf("%d entries are left", n)
	}
}
