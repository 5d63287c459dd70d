//go:build unix

package memory

import (
	"errors"
	"testing"
	"time"

	"memexport/internal/service/postgres"
	"memexport/internal/workshop/pgtest"
)

func TestReadingEndsWhenPostgresHangs(t *testing.T) {
	url := pgtest.New(t)
	exec(t, pgtest.OpenURL(t, url, 1), `INSERT INTO memories (memory) SELECT repeat('x', 1000) FROM generate_series(1, 20000)`)
	db, err := postgres.OpenWith(url, postgres.Options{MaxConns: 2, Silence: 500 * time.Millisecond, SilenceHint: "raise SETTING"})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s := source(t, db, "memories")
	reading := make(chan error, 1)
	visited := 0
	go func() {
		reading <- s.Read(t.Context(), Query{WorkspaceID: tenant}, everything, nil, func(*Memory) error {
			if visited++; visited == 1 {
				pgtest.Freeze(t)
			}
			return nil
		})
	}()
	select {
	case err := <-reading:
		var timeout interface{ Timeout() bool }
		if !errors.As(err, &timeout) || !timeout.Timeout() || visited == 20000 {
			t.Errorf("after %d memories: %v", visited, err)
		}
	case <-time.After(30 * time.Second):
		t.Error("the reader has not noticed that Postgres hangs")
	}
}
