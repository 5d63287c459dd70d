package main

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestATrendIsFoundOnlyIfThereIsOne(t *testing.T) {
	const minutes = 22
	r := rand.New(rand.NewPCG(1, 0))
	for name, c := range map[string]struct {
		level, perHour, noise float64
		grows                 bool
	}{
		"a level":                          {level: 100, noise: 20},
		"a constant":                       {level: 12},
		"nothing":                          {},
		"a small slope":                    {level: 100, perHour: 10, noise: 5},
		"one goroutine a minute":           {level: 100, perHour: 60, noise: 5, grows: true},
		"a connection every ten minutes":   {level: 10, perHour: 6, noise: 0.5, grows: true},
		"a level that falls":               {level: 100, perHour: -60, noise: 5},
		"rows that are never deleted":      {level: 50, perHour: 7000, noise: 50, grows: true},
		"a slope that noise could explain": {level: 100, perHour: 25, noise: 60},
	} {
		var times []time.Time
		var values []float64
		before := 0.0
		for i := range minutes * 12 {
			at := time.Unix(int64(5*i), 0)
			before = 0.8*before + 0.6*r.NormFloat64() // depends on the value before, as real samples do
			times = append(times, at)
			values = append(values, c.level+c.perHour*at.Sub(times[0]).Hours()+c.noise*before)
		}
		got, err := fit(times, values)
		if err != nil {
			t.Fatal(err)
		}
		after := c.level + c.perHour*minutes/60
		if grows := got.grows(c.level, after); grows != c.grows {
			t.Errorf("%s: grows is %t: %+v", name, grows, got)
		}
		if got.grows(c.level, c.level) {
			t.Errorf("%s: grows is true, although the level came back: %+v", name, got)
		}
		if c.noise == 0 && (got.slope < -1e-9 || got.slope > 1e-9) {
			t.Errorf("%s: the slope is %v", name, got.slope)
		}
	}
}

func TestTooFewSamplesAreAnError(t *testing.T) {
	if got, err := fit(make([]time.Time, blocks-1), make([]float64, blocks-1)); err == nil {
		t.Errorf("%d samples have a trend: %+v", blocks-1, got)
	}
}
