package measure_test

import (
	"testing"
	"time"

	"memexport/internal/workshop/measure"
)

func TestTheMedianIsTheMiddleOrTheMeanOfTheTwoInTheMiddle(t *testing.T) {
	for want, values := range map[time.Duration][]time.Duration{
		0: nil, 7: {7}, 3: {9, 1, 3}, 4: {5, 100, 1, 3},
	} {
		if got := measure.Median(values); got != want {
			t.Errorf("the median of %v is %d, want %d", values, got, want)
		}
	}
}

func TestAPercentileIsOneOfTheValues(t *testing.T) {
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(100-i))
	}
	for _, c := range []struct {
		values []time.Duration
		p      float64
		want   time.Duration
	}{
		{nil, 50, 0}, {hundred, 50, 50}, {hundred, 99, 99}, {hundred, 100, 100},
		{[]time.Duration{30, 10, 20}, 50, 20}, {[]time.Duration{30, 10, 20}, 99, 30}, {[]time.Duration{4}, 1, 4},
	} {
		if got := measure.Percentile(c.values, c.p); got != c.want {
			t.Errorf("percentile %v of %v is %d, want %d", c.p, c.values, got, c.want)
		}
	}
}

func TestSpreadShowsTheMedianAndTheExtremes(t *testing.T) {
	ratios := measure.Ratios([]time.Duration{1, 3, 4}, []time.Duration{2, 4, 4, 9})
	if got := measure.Spread(ratios); got != "0.75 (0.50-1.00)" {
		t.Errorf("the spread is %s", got)
	}
	if got := measure.Spread(nil); got != "-" {
		t.Errorf("the spread of nothing is %s", got)
	}
}

func TestCellsShowZeroAsUnknownAndGroupDigits(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{measure.Seconds(0), "-"}, {measure.Seconds(1250 * time.Millisecond), "1.25"},
		{measure.Millis(1500 * time.Microsecond), "1.5"},
		{measure.Megabytes(2_600_000), "3"}, {measure.Mebibytes(3 << 20), "3"},
		{measure.PerSecond(5, 0), "-"}, {measure.PerSecond(2_469_134, 2*time.Second), "1,234,567"},
	} {
		if c.got != c.want {
			t.Errorf("the cell is %q, want %q", c.got, c.want)
		}
	}
}

func TestTheTableIsAlignedMarkdown(t *testing.T) {
	table := measure.Table{Title: "Speed", Head: []string{"Way", "µs"}, Note: "A note."}
	table.Add("csv", 10)
	table.Add("markdown", "-")
	const want = "### Speed\n\n| Way      | µs |\n| -------- | -: |\n| csv      | 10 |\n| markdown |  - |\n\nA note.\n"
	if got := table.Markdown(); got != want {
		t.Errorf("the table is\n%s\nwant\n%s", got, want)
	}
}
