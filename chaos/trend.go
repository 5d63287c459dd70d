package main

import (
	"fmt"
	"math"
	"time"

	"github.com/montanaflynn/stats"
)

// trend is how a quantity changes with time.
type trend struct {
	mean            float64
	slope, from, to float64 // per hour, with the limits of a confidence interval of 95 percent
}

// blocks is how many blocks the function fit divides the values into. quantile is the 97.5th percentile of
// Student's distribution with blocks-2 degrees of freedom.
const (
	blocks   = 24
	quantile = 2.074
)

// allowed returns the largest slope that does not count as growth. It is not 0, because the load of a soak is
// random.
func (t trend) allowed() float64 { return math.Max(0.2*t.mean, 1) }

// grows reports whether a quantity grows under load, and is still larger than before after the load has ended. A
// machine that becomes slower can also make pools and rows grow, but these shrink again when the load ends.
func (t trend) grows(before, after float64) bool {
	return t.from > t.allowed() && after > 1.1*before+1
}

// fit fits a line to values. Values that are close together in time depend on each other, which would make the
// interval too narrow. So fit uses the means of blocks of successive values. If these means still depend on each
// other, fit widens the interval.
func fit(times []time.Time, values []float64) (trend, error) {
	if len(values) < blocks || len(times) != len(values) {
		return trend{}, fmt.Errorf("%d samples are too few: set SOAK_MINUTES to 5 or more", len(values))
	}
	var points stats.Series
	for i := range blocks {
		first, end := i*len(values)/blocks, (i+1)*len(values)/blocks
		p := stats.Coordinate{}
		for j := first; j < end; j++ {
			p.X += times[j].Sub(times[0]).Hours() / float64(end-first)
			p.Y += values[j] / float64(end-first)
		}
		points = append(points, p)
	}
	line, err := stats.LinearRegression(points)
	if err != nil {
		return trend{}, err
	}
	t := trend{slope: (line[blocks-1].Y - line[0].Y) / (points[blocks-1].X - points[0].X)}
	var meanX, spread, residuals, lagged, before float64
	for _, p := range points {
		meanX += p.X / blocks
		t.mean += p.Y / blocks
	}
	for i, p := range points {
		residual := p.Y - line[i].Y
		spread += (p.X - meanX) * (p.X - meanX)
		residuals += residual * residual
		lagged += residual * before
		before = residual
	}
	width := 0.0
	if residuals > 0 {
		correlation := math.Max(0, lagged/residuals)
		width = quantile * math.Sqrt(residuals/(blocks-2)/spread*(1+correlation)/(1-correlation))
	}
	t.from, t.to = t.slope-width, t.slope+width
	return t, nil
}
