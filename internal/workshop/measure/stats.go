package measure

import (
	"fmt"
	"slices"
	"time"

	"github.com/montanaflynn/stats"
)

// Number is a type of measured values.
type Number interface {
	~int | ~int64 | ~float64
}

// Median returns the middle value, or the mean of the two values in the middle. It returns zero if
// there are no values.
func Median[T Number](values []T) T {
	median, err := stats.Median(floats(values))
	if err != nil {
		return 0 // no values
	}
	return T(median)
}

// Percentile returns the smallest value that at least p percent of the values do not exceed (the
// nearest rank, without interpolation). It returns zero if there are no values.
func Percentile(values []time.Duration, p float64) time.Duration {
	value, err := stats.PercentileNearestRank(floats(values), p)
	if err != nil {
		return 0 // no values
	}
	return time.Duration(value)
}

func floats[T Number](values []T) stats.Float64Data {
	data := make(stats.Float64Data, len(values))
	for i, value := range values {
		data[i] = float64(value)
	}
	return data
}

// Pick returns one property of every sample.
func Pick[S any, T Number](samples []S, property func(S) T) []T {
	var values []T
	for _, sample := range samples {
		values = append(values, property(sample))
	}
	return values
}

// Ratios divides ours[i] by theirs[i], which must come from the same round: whatever slowed that
// round down then cancels out.
func Ratios(ours, theirs []time.Duration) []float64 {
	var ratios []float64
	for i := range min(len(ours), len(theirs)) {
		ratios = append(ratios, float64(ours[i])/float64(theirs[i]))
	}
	return ratios
}

// Spread writes the median with the least and the greatest value, which say how far to trust it:
// "0.51 (0.46-0.56)".
func Spread(values []float64) string {
	if len(values) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f (%.2f-%.2f)", Median(values), slices.Min(values), slices.Max(values))
}
