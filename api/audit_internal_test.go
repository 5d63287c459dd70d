package api

import (
	"strconv"
	"testing"
	"time"
)

func TestAReadIsTheFirstOncePerHour(t *testing.T) {
	var r reads
	at := func(clock string) time.Time {
		parsed, err := time.Parse("15:04:05", clock)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	for _, c := range []struct {
		read, clock string
		first       bool
	}{
		{"a", "10:00:00", true}, {"a", "10:00:00", false}, {"b", "10:30:00", true}, {"a", "10:59:59", false},
		{"a", "11:00:00", true}, {"b", "11:00:01", true}, {"b", "11:59:59", false},
	} {
		if got := r.first(c.read, at(c.clock)); got != c.first {
			t.Errorf("%s at %s: %v", c.read, c.clock, got)
		}
	}
}

func TestTheReadsThatAreRememberedAreBounded(t *testing.T) {
	var r reads
	now := time.Now()
	for i := range 2*maxReads + 10 {
		if !r.first(strconv.Itoa(i), now) {
			t.Fatal(i)
		}
		if len(r.seen) > maxReads {
			t.Fatalf("%d reads are remembered", len(r.seen))
		}
	}
}
