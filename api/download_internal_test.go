package api

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// deadlines is a ResponseWriter that notes the write deadlines it is given.
type deadlines struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.set = append(d.set, t)
	return nil
}

func TestAStalledDownloadHasADeadlineAndAFinishedOneLeavesNone(t *testing.T) {
	connection := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	writer := &downloadWriter{ResponseWriter: connection, controller: http.NewResponseController(connection)}
	writer.WriteHeader(http.StatusOK)
	for range 3 {
		if _, err := writer.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if len(connection.set) != 1 {
		t.Fatalf("deadlines %v, want one within a second", connection.set)
	}
	if left := time.Until(connection.set[0]); left > stallTimeout || left < stallTimeout-10*time.Second {
		t.Errorf("the deadline is in %s", left)
	}
	writer.extended = writer.extended.Add(-2 * time.Second) // as if time had passed
	if _, err := writer.Write([]byte("x")); err != nil || len(connection.set) != 2 {
		t.Errorf("deadlines %v, %v: want another", connection.set, err)
	}
	writer.finish()
	if last := connection.set[len(connection.set)-1]; !connection.Flushed || !last.IsZero() {
		t.Errorf("flushed %t, last deadline %s", connection.Flushed, last)
	}
}
