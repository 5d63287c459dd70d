package telemetry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// record returns a logger and a function that returns the lines that were logged since its last call, without
// their times.
func record(wrap func(slog.Handler) slog.Handler) (log *slog.Logger, lines func() []string) {
	var text bytes.Buffer
	h := slog.NewTextHandler(&text, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "since" {
			return slog.Attr{}
		}
		return a
	}})
	return slog.New(wrap(h)), func() []string {
		defer text.Reset()
		return strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n")
	}
}

func wantLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	if len(want) == 0 {
		want = []string{""}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the log has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestARepeatedWarningIsLoggedOnceInAnInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, lines := record(func(h slog.Handler) slog.Handler { return Seldom(h, 10*time.Minute) })
		poller := log.With("Namespace", "default")
		for i := range 200 { // 20 minutes
			poller.Warn("Failed to poll for task.", "Error", fmt.Errorf("read tcp 127.0.0.1:%d: connection refused", 40000+i))
			time.Sleep(6 * time.Second)
		}
		const refused = `level=WARN msg="Failed to poll for task." Namespace=default Error="read tcp 127.0.0.1:%d: connection refused"`
		wantLines(t, lines(), fmt.Sprintf(refused, 40000), fmt.Sprintf(refused+" lines_left_out=99", 40100))
		poller.Warn("Failed to poll for task.", "Error", errors.New("permission denied"))
		poller.Warn("Failed to poll for task.", "Error", errors.New("permission denied"))
		wantLines(t, lines(), `level=WARN msg="Failed to poll for task." Namespace=default Error="permission denied"`)
	})
}

func TestWarningsOfDifferentActivitiesAndExportsAndLinesBelowWarnAreKept(t *testing.T) {
	log, lines := record(func(h slog.Handler) slog.Handler { return Seldom(h, time.Hour) })
	for _, id := range []string{"export-1", "export-2", "export-1"} {
		log.With("WorkflowID", id).Error("Activity error.", "Error", "full")
	}
	for _, id := range []string{"1", "2", "2"} {
		log.Warn("an export is stuck", "export_id", id)
		log.Warn("a schedule is paused", "schedule", id)
	}
	log.WithGroup("g").Info("again", "a", 1)
	log.WithGroup("g").Info("again", "a", 1)
	wantLines(t, lines(), `level=ERROR msg="Activity error." WorkflowID=export-1 Error=full`, `level=ERROR msg="Activity error." WorkflowID=export-2 Error=full`,
		`level=WARN msg="an export is stuck" export_id=1`, `level=WARN msg="a schedule is paused" schedule=1`,
		`level=WARN msg="an export is stuck" export_id=2`, `level=WARN msg="a schedule is paused" schedule=2`,
		`level=INFO msg=again g.a=1`, `level=INFO msg=again g.a=1`)
}

func TestTheNumberOfWarningsThatAreKeptInMindIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := Seldom(slog.DiscardHandler, time.Minute).(*seldom)
		for range 3 {
			for i := range 2 * maxKeys {
				r := slog.NewRecord(time.Now(), slog.LevelWarn, fmt.Sprint(i), 0)
				if err := h.Handle(context.Background(), r); err != nil {
					t.Fatal(err)
				}
			}
			if n := len(h.seen.lines); n > maxKeys {
				t.Fatalf("%d warnings are kept in mind", n)
			}
			time.Sleep(time.Minute)
		}
	})
}

func TestAnEpisodeIsToldWhenItBeginsSeldomAndWhenItIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, lines := record(func(h slog.Handler) slog.Handler { return h })
		e := &Episode{Log: log, Every: 10 * time.Minute, Begun: "away", Over: "back"}
		e.Succeeded(t.Context())
		for range 15 { // a minute each
			e.Failed(t.Context(), "refused", "problem", "start it")
			time.Sleep(time.Minute)
		}
		wantLines(t, lines(), `level=WARN msg=away problem="start it"`, `level=WARN msg=away problem="start it" failures=11`)
		e.Failed(t.Context(), "namespace", "problem", "create it")
		e.Failed(t.Context(), "namespace", "problem", "create it")
		wantLines(t, lines(), `level=WARN msg=away problem="create it" failures=16`)
		e.Succeeded(t.Context())
		e.Succeeded(t.Context())
		wantLines(t, lines(), `level=INFO msg=back lasted=15m0s failures=17`)
	})
}

func TestAProblemThatComesAndGoesIsNotToldEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, lines := record(func(h slog.Handler) slog.Handler { return h })
		e := &Episode{Log: log, Every: time.Hour, Begun: "away", Over: "back"}
		for range 50 {
			e.Failed(t.Context(), "refused")
			time.Sleep(time.Second)
			e.Succeeded(t.Context())
			time.Sleep(time.Second)
		}
		wantLines(t, lines(), `level=WARN msg=away`, `level=INFO msg=back lasted=1s failures=1`)
		for range 4 {
			e.Failed(t.Context(), "refused")
			time.Sleep(10 * time.Second)
		}
		wantLines(t, lines(), `level=WARN msg=away failures=4`)
	})
}
