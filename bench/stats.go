package main

import (
	"fmt"
	"slices"
	"time"
)

// number is what can be averaged here.
type number interface {
	~int | ~int64 | ~float64
}

// median is the middle value, or the mean of the two in the middle; zero for no values.
func median[T number](values []T) T {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// percentile is the least value that p percent of the values do not exceed.
func percentile(values []time.Duration, p int) time.Duration {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[max(0, (len(sorted)*p+99)/100-1)]
}

// pick is one property of every sample.
func pick[S any, T number](samples []S, property func(S) T) []T {
	var values []T
	for _, s := range samples {
		values = append(values, property(s))
	}
	return values
}

// ratios divides pairs of the same round, so that whatever slowed down a round cancels out.
func ratios(ours, theirs []time.Duration) []float64 {
	var r []float64
	for i := range min(len(ours), len(theirs)) {
		r = append(r, float64(ours[i])/float64(theirs[i]))
	}
	return r
}

// spread is the median with the extremes, which say how far to trust it.
func spread(values []float64) string {
	if len(values) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f (%.2f-%.2f)", median(values), slices.Min(values), slices.Max(values))
}

// seconds, perSecond, megabytes, mebibytes and millis write a number for a table; zero is unknown.

func seconds(d time.Duration) string { return unlessZero(d.Seconds(), "%.2f") }

func perSecond(n float64, d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return grouped(int(n / d.Seconds()))
}

func megabytes(bytes int64) string { return unlessZero(float64(bytes)/1e6, "%.0f") }

func mebibytes(bytes int64) string { return unlessZero(float64(bytes)/(1<<20), "%.0f") }

func millis(d time.Duration) string { return unlessZero(float64(d)/float64(time.Millisecond), "%.1f") }

func unlessZero(value float64, format string) string {
	if value == 0 {
		return "-"
	}
	return fmt.Sprintf(format, value)
}

// grouped writes 1234567 as 1,234,567.
func grouped(n int) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
