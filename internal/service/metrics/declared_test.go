package metrics_test

import (
	"slices"
	"testing"

	"memexport/internal/service/attempt"
	"memexport/internal/service/export"
	"memexport/internal/service/format"
	"memexport/internal/service/metrics"
	"memexport/reconcile"
)

// values returns the values of a label of a metric, sorted.
func values(t *testing.T, m metrics.Metric, label string) []string {
	t.Helper()
	for _, l := range m.Labels {
		if l.Name == label {
			return slices.Sorted(slices.Values(l.Values))
		}
	}
	t.Fatalf("%s has no label %s", m.Name, label)
	return nil
}

func TestTheLabelsHaveEveryValueThatOccurs(t *testing.T) {
	want := func(m metrics.Metric, label string, occurring ...string) {
		t.Helper()
		slices.Sort(occurring)
		if got := values(t, m, label); !slices.Equal(got, occurring) {
			t.Errorf("the label %s of %s has the values %q, want %q", label, m.Name, got, occurring)
		}
	}
	var formats, statuses []string
	for _, f := range format.All {
		formats = append(formats, f.Name)
	}
	for _, s := range export.Statuses {
		statuses = append(statuses, string(s))
	}
	want(metrics.Exports.Metric, "format", formats...)
	want(metrics.Exports.Metric, "status", statuses...)

	codes := []string{metrics.None}
	for code := range export.Failures {
		codes = append(codes, code)
	}
	want(metrics.Ended.Metric, "code", codes...)

	limits := values(t, metrics.LimitsHit.Metric, "limit")
	for _, l := range []export.Limit{export.LimitStored, export.LimitUnfinished} {
		if !slices.Contains(limits, string(l)) {
			t.Errorf("the label limit lacks %q", l)
		}
	}
	var stuck []string
	for _, r := range reconcile.Reasons {
		stuck = append(stuck, string(r))
	}
	want(metrics.Stuck.Metric, "reason", stuck...)

	reasons := values(t, metrics.PartsRetried.Metric, "reason")
	for _, reason := range []string{attempt.TypeOvertaken, attempt.TypeExportClosed, attempt.TypeDatabaseUnavailable,
		attempt.TypeStorageDenied, attempt.TypeStorageFull, attempt.TypeStorageUnavailable} {
		if !slices.Contains(reasons, reason) {
			t.Errorf("the label reason lacks %q", reason)
		}
	}
	reasons = values(t, metrics.VerifyFailed.Metric, "reason")
	for _, reason := range []string{attempt.TypeStorageCorrupt, attempt.TypeStorageDenied, attempt.TypeStorageUnavailable} {
		if !slices.Contains(reasons, reason) {
			t.Errorf("the label reason of failed verifications lacks %q", reason)
		}
	}
}
