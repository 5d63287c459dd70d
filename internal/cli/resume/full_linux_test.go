package resume

import (
	"errors"
	"os"
	"syscall"
	"testing"
)

func TestAFullDiskIsReportedOnce(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	s := newServer(t, random(1000))
	err = s.download().To(t.Context(), ToStream(full))
	if want := "write /dev/full: no space left on device"; !errors.Is(err, syscall.ENOSPC) || err.Error() != want {
		t.Errorf("the download ended with %q, want %q", err, want)
	}
	if got := len(s.asked()); got != 1 {
		t.Errorf("%d requests were sent", got)
	}
}
