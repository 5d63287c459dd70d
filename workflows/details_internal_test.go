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

func TestTheDetailsLeaveOutWhatIsNotKnown(t *testing.T) {
	began := time.Date(2026, 1, 1, 4, 30, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		d    details
		want string
	}{
		"before the plan": {details{status: export.Processing},
			"**PROCESSING**\n\n- 0 memories, 0 B\n"},
		"as many memories are written as were estimated": {
			details{status: export.Processing, ranges: 2, rangesDone: 1, estimate: 1000, began: began, updated: began.Add(time.Second),
				written: export.Written{Parts: 1, Memories: 1000, Bytes: 4000}},
			"**PROCESSING**, about 99 % written\n\n- 1 of 2 ranges written\n- 1,000 memories, 4.0 kB in 1 parts\n- 1,000 memories a second (at 04:30:01 UTC)\n"},
		"a range without memories is written": {
			details{status: export.Processing, ranges: 2, rangesDone: 1, estimate: 1000, began: began, updated: began.Add(time.Minute)},
			"**PROCESSING**, about 0 % written\n\n- 1 of 2 ranges written\n- 0 memories, 0 B\n"},
	} {
		if got := c.d.markdown(); got != c.want {
			t.Errorf("%s: the details are\n%q, want\n%q", name, got, c.want)
		}
	}
}

func TestTheDetailsLinkToTheDocs(t *testing.T) {
	d := details{status: export.Failed, failure: export.CodeInternal}
	if got := d.markdown(); !strings.Contains(got, "- what to do: docs/architecture.md#why-an-export-is-failed\n") {
		t.Errorf("without an address, the details are %q", got)
	}
	d.docs = "https://docs.example.com"
	want := "- what to do: [docs/architecture.md#why-an-export-is-failed](https://docs.example.com/architecture.md#why-an-export-is-failed)\n"
	if got := d.markdown(); !strings.Contains(got, want) {
		t.Errorf("the details are %q, want %q in them", got, want)
	}
}
