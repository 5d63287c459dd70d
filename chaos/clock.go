package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// fakeClock returns the environment with which libfaketime moves the clock of Postgres.
func (s *stack) fakeClock() ([]string, error) {
	libraries, _ := filepath.Glob("/usr/lib/*/faketime/libfaketime.so.1") // the only error is a malformed pattern
	if len(libraries) == 0 {
		return nil, errors.New("it needs libfaketime; on Debian run apt-get install libfaketime")
	}
	file := filepath.Join(s.dir, "clock")
	if err := os.WriteFile(file, []byte("+0\n"), 0o644); err != nil { // Postgres reads it as another user
		return nil, err
	}
	s.clock = file
	return []string{"LD_PRELOAD=" + libraries[0], "FAKETIME_TIMESTAMP_FILE=" + file, "FAKETIME_CACHE_DURATION=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"}, nil
}

// cacheDuration is how long Postgres may go on with the old clock, with some slack.
const cacheDuration = 2 * time.Second

// jump moves the clock of Postgres forward or back by 10 to 69 seconds, which can be more than the retention.
func (s *stack) jump(_ context.Context, r *rand.Rand) string {
	seconds := 10 + r.IntN(60)
	if r.IntN(2) == 0 {
		seconds = -seconds
	}
	s.jumped.Store(new(time.Now().Add(time.Hour))) // until jumpBack is called
	if os.WriteFile(s.clock, fmt.Appendf(nil, "%+d\n", seconds), 0o644) != nil {
		return ""
	}
	return fmt.Sprintf("%+d s", seconds)
}

func (s *stack) jumpBack(context.Context) error {
	err := os.WriteFile(s.clock, []byte("+0\n"), 0o644)
	s.jumped.Store(new(time.Now().Add(cacheDuration)))
	return err
}

// timely reports whether the clock of Postgres was right since the export was ordered. If the clock was wrong, the
// export may expire and be deleted earlier or later than it says.
func (j *job) timely() bool {
	jumped := j.ws.world.jumped.Load()
	return jumped == nil || jumped.Before(j.ordered)
}
