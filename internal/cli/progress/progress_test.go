package progress

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestATaskShowsRateAndTimeLeft(t *testing.T) {
	for want, c := range map[string]struct {
		unit       Unit
		first      int64
		firstShare float64
		amount     int64
		share      float64
		elapsed    time.Duration
	}{
		"x: 12,345 memories, 0%":                              {unit: Memories, first: 12_345, amount: 12_345},
		"x: 20,000 memories, 25%, 2,000 memories/s, 30s left": {unit: Memories, amount: 20_000, share: 0.25, elapsed: 10 * time.Second},
		// Bytes from an earlier process do not count when the rate and the remaining time are
		// computed.
		"x: 6.0 MB, 60%, 500 kB/s, 8s left":         {unit: Bytes, first: 5_000_000, firstShare: 0.5, amount: 6_000_000, share: 0.6, elapsed: 2 * time.Second},
		"x: 20,000 memories, 95%, 2,000 memories/s": {unit: Memories, amount: 20_000, share: 0.95, elapsed: 10 * time.Second},
		"x: 10 MB, 100%, 1.0 MB/s":                  {unit: Bytes, amount: 10_000_000, share: 1, elapsed: 10 * time.Second},
	} {
		task := Task{r: &Reporter{}, title: "x", unit: c.unit, first: c.first, firstShare: c.firstShare}
		if got := task.text(c.amount, c.share, c.elapsed); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestAFileGetsFewLinesAndTheLastState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	r := New(file)
	task := r.Begin("counting", Memories)
	for n := range int64(1001) {
		task.Set(n, float64(n)/1000)
	}
	task.End()
	r.Say("done after %d", 1000)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := "counting: 0 memories, 0%\ncounting: 1,000 memories, 100%\ndone after 1000\n"
	if string(text) != want {
		t.Errorf("the file has %q, want %q", text, want)
	}
}

func TestATextIsCutToTheColumns(t *testing.T) {
	for columns, want := range map[int]string{-2: "", 0: "", 3: "dow", 5: "downé", 80: "downé"} {
		if got := cut("downé", columns); got != want {
			t.Errorf("in %d columns the text is %q, want %q", columns, got, want)
		}
	}
}
