package workflows

import (
	"strings"
	"testing"
	"time"

	"memexport/internal/service/export"
)

func TestTheDetailsSayHowFastAnExportIsAndWhenItIsDone(t *testing.T) {
	began := time.Date(2026, 1, 1, 4, 30, 0, 0, time.UTC)
	d := details{status: export.Processing, ranges: 8, rangesDone: 3, estimate: 2_000_000, began: began, updated: began.Add(30 * time.Second),
		written: export.Written{Parts: 1200, Memories: 750_000, Bytes: 312_000_000}}
	want := "**PROCESSING**, about 37 % written\n\n" +
		"- 3 of 8 ranges written\n" +
		"- 750,000 memories, 312 MB in 1,200 parts\n" +
		"- 25,000 memories a second, about 50s left (at 04:30:30 UTC)\n"
	if got := d.markdown(); got != want {
		t.Errorf("the details are\n%q, want\n%q", got, want)
	}
	d.written.Memories = 2_100_000 // more than the plan has estimated
	if got := d.markdown(); !strings.Contains(got, "about 99 % written") || strings.Contains(got, "left") {
		t.Errorf("the details of an export that exceeds its estimate are %q", got)
	}
	d.status = export.Ready
	if got := d.markdown(); strings.Contains(got, "a second") || strings.Contains(got, "%") {
		t.Errorf("the details of a READY export are %q", got)
	}
}
