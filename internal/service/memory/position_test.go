package memory

import (
	"errors"
	"fmt"
	"testing"

	"memexport/internal/workshop/pgtest"
)

func TestAServerThatIsBehindThePlanIsNotRead(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	addTied(t, db, 10)
	ranges, _ := plan(t, s, db, Query{WorkspaceID: tenant})
	addTied(t, db, 1)
	later, _ := plan(t, s, db, Query{WorkspaceID: tenant})
	r := ranges[0].Range
	if r.Position <= 0 || later[0].Position <= r.Position {
		t.Errorf("the positions of two plans are %d and %d", r.Position, later[0].Position)
	}
	if n := len(read(t, s, Query{WorkspaceID: tenant}, r, nil)); n < 10 {
		t.Errorf("read %d memories of 10", n)
	}
	r.Position += 1 << 40 // a server whose log is a terabyte longer
	err := s.Read(t.Context(), Query{WorkspaceID: tenant}, r, nil, func(*Memory) error { return errors.New("a memory was visited") })
	if !errors.Is(err, errBehind) {
		t.Errorf("the error is %v, want %v", err, errBehind)
	}
}

// Amazon Aurora does not tell its position, and an administrator may take the privilege away.
func TestAServerThatDoesNotTellItsPositionIsRead(t *testing.T) {
	const role = "memory position"
	address := pgtest.New(t)
	admin := pgtest.OpenURL(t, address, 2)
	addTied(t, admin, 10)
	exec(t, admin, `REVOKE EXECUTE ON FUNCTION pg_current_wal_flush_lsn() FROM PUBLIC`)
	s := source(t, asRole(t, address, admin, role), "memories")
	exec(t, admin, fmt.Sprintf(`GRANT SELECT ON memories TO %q`, role))
	ranges, _ := plan(t, s, admin, Query{WorkspaceID: tenant})
	r := ranges[0].Range
	if r.Position != 0 {
		t.Errorf("the position is %d", r.Position)
	}
	r.Position = 1 << 40 // planned on a server that told it
	if n := len(read(t, s, Query{WorkspaceID: tenant}, r, nil)); n != 10 {
		t.Errorf("read %d memories of 10", n)
	}
}
