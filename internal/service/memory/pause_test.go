package memory

import (
	"context"
	"errors"
	"testing"
	"time"

	"memexport/internal/workshop/pgtest"
)

func TestAPauseReleasesTheConnectionAndSkipsNothing(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	db := pgtest.OpenURL(t, url, 2)
	addTied(t, db, 23)
	exec(t, db, `UPDATE memories SET memory = repeat('x', 2000000) WHERE memory = 'memory 7'`) // oversize
	want := stored(t, db, "memories", mine)
	s := source(t, db, "memories").with(t, SourceOptions{PageRows: 10})
	for every := 1; every <= 11; every++ {
		var got []string
		pauses := 0
		err := s.Read(t.Context(), Query{WorkspaceID: tenant}, everything, nil, func(m *Memory) error {
			text, err := whole(m)
			if err != nil {
				return err
			}
			got = append(got, line(m, text))
			if len(got)%every > 0 {
				return nil
			}
			return &Pause{Wait: func() error {
				pauses++
				if n := db.Stats().InUse; n != 0 {
					t.Errorf("%d connections are in use during a pause", n)
				}
				return nil
			}}
		})
		if err != nil || pauses != 23/every {
			t.Errorf("%d pauses: %v", pauses, err)
		}
		same(t, got, want)
	}
	stop := errors.New("stop")
	err := s.Read(t.Context(), Query{WorkspaceID: tenant}, everything, nil, func(*Memory) error {
		return &Pause{Wait: func() error { return stop }}
	})
	if !errors.Is(err, stop) {
		t.Errorf("Read returned %v", err)
	}
}

// Oversize memories are read over a second connection. A pooler may have none left, because other readers hold
// them for their pages.
func TestOneConnectionIsEnoughForOversizeMemories(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	db := pgtest.OpenURL(t, url, 1)
	addTied(t, db, 23)
	exec(t, db, `UPDATE memories SET memory = repeat(memory || ' ', 200000) WHERE memory IN ('memory 1', 'memory 7', 'memory 8', 'memory 23')`)
	want := stored(t, db, "memories", mine)
	s := source(t, db, "memories").with(t, SourceOptions{PageRows: 10})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var got []string
	err := s.Read(ctx, Query{WorkspaceID: tenant}, everything, nil, func(m *Memory) error {
		text, err := whole(m)
		got = append(got, line(m, text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, want)
}
