package measure

import (
	"fmt"
	"slices"
	"time"

	"github.com/montanaflynn/stats"
)

// Number is the constraint for types of measured values.
type Number interface {
	~int | ~int64 | ~float64
}

// Median returns the middle value, or the mean of the two middle values. It returns zero if there
// are no values.
func Median[T Number](values []T) T {
	median, err := stats.Median(floats(values))
	if err != nil {
		return 0 // no values
	}
	return T(median)
}

// Percentile returns the p-th percentile by the nearest-rank method: the smallest value v such that
// at least p percent of the values are less than or equal to v. It returns zero if there are no
// values.
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

// Pick calls property for every sample and returns the results.
func Pick[S any, T Number](samples []S, property func(S) T) []T {
	var values []T
	for _, sample := range samples {
		values = append(values, property(sample))
	}
	return values
}

// Ratios returns ours[i]/theirs[i] for every i. Both values must come from the same round, so that
// a disturbance of that round affects both of them.
func Ratios(ours, theirs []time.Duration) []float64 {
	var ratios []float64
	for i := range min(len(ours), len(theirs)) {
		ratios = append(ratios, float64(ours[i])/float64(theirs[i]))
	}
	return ratios
}

// Spread returns the median with the minimum and the maximum, such as "0.51 (0.46-0.56)". The wider
// the range, the less reliable the median.
func Spread(values []float64) string {
	if len(values) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f (%.2f-%.2f)", Median(values), slices.Min(values), slices.Max(values))
}
