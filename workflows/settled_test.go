package workflows_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	sdk "go.temporal.io/sdk/temporal"

	"memexport/activities"
	"memexport/internal/service/export"
)

// afterReset has the states in which a run can find its export after a reset, a restart or a second start.
// Times are relative to the start of the run.
var afterReset = map[string]struct {
	status     export.Status
	code       string
	expires    time.Duration
	purge      time.Duration
	purged     bool
	calls      []string // the activities that run after the run has found the state
	purgedTime time.Duration
	details    []string
}{
	"READY":             {status: export.Ready, expires: 10 * time.Hour, calls: []string{"Expire", "Purge"}, purgedTime: 11 * time.Hour, details: []string{"**EXPIRED**", "objects have been deleted"}},
	"EXPIRED in grace":  {status: export.Expired, expires: -time.Minute, purge: 59 * time.Minute, calls: []string{"Purge"}, purgedTime: 59 * time.Minute, details: []string{"**EXPIRED**", "objects have been deleted"}},
	"EXPIRED, purged":   {status: export.Expired, expires: -9 * time.Hour, purge: -8 * time.Hour, purged: true, details: []string{"**EXPIRED**", "objects have been deleted"}},
	"FAILED":            {status: export.Failed, code: export.CodeSourceInvalid, calls: []string{"Purge"}, details: []string{"**FAILED**", "`SOURCE_INVALID`", "objects have been deleted"}},
	"FAILED and purged": {status: export.Failed, code: export.CodeTerminated, purged: true, details: []string{"**FAILED**", "`TERMINATED`", "objects have been deleted"}},
}

func TestARunThatFindsItsExportSettledShowsItsStateAndWritesNothing(t *testing.T) {
	for name, c := range afterReset {
		for _, at := range []string{"Plan", "Publish"} {
			t.Run(name+" at "+at, func(t *testing.T) {
				s := newStub(1)
				k := newSkipping(t, s)
				settled := activities.Settled{Status: c.status, Code: c.code, Purged: c.purged, Memories: 77, Bytes: 9000}
				if c.status != export.Failed {
					settled.ExpiresAt, settled.PurgeAt = k.begin.Add(c.expires), k.begin.Add(c.purge)
				}
				want := []string{"Plan"}
				if at == "Plan" {
					s.planned = settled
				} else {
					s.published = settled
					want = append(want, "WriteRange 0", "Publish")
				}
				err := k.export()
				var failed *sdk.ApplicationError
				if c.status == export.Failed && (!errors.As(err, &failed) || failed.Type() != c.code) || c.status != export.Failed && err != nil {
					t.Errorf("the run ended with %v", err)
				}
				k.wantCalls(t, append(want, c.calls...)...)
				if len(c.calls) > 0 {
					k.wantAt("Purge", c.purgedTime)
				}
				for _, part := range append(c.details, "77 memories, 9.0 kB") {
					if !strings.Contains(k.details(), part) {
						t.Errorf("the details lack %q: %q", part, k.details())
					}
				}
			})
		}
	}
}

func TestAResetAfterAnExportExpiredDoesNotSleepAgain(t *testing.T) {
	l := newLive(t, newStub(1))
	l.start()
	l.work()
	l.untilAsleep()
	l.stub.planned = activities.Settled{Status: export.Expired, Purged: true}
	l.reset()
	if err := l.result(); err != nil {
		t.Error(err)
	}
	l.wantCalls(t, "Plan", "WriteRange 0", "Publish", "Plan")
}

func TestARunThatIsCancelledAfterItsExportEndedKeepsTheEnd(t *testing.T) {
	for name, c := range map[string]struct {
		failed activities.Settled
		calls  []string
		code   string
	}{
		"FAILED":            {activities.Settled{Status: export.Failed, Code: export.CodeSourceInvalid}, []string{"Fail", "Purge"}, "`SOURCE_INVALID`"},
		"FAILED and purged": {activities.Settled{Status: export.Failed, Code: export.CodeSourceInvalid, Purged: true}, []string{"Fail"}, "`SOURCE_INVALID`"},
		"EXPIRED":           {activities.Settled{Status: export.Expired, PurgeAt: time.Now().Add(100 * time.Hour)}, []string{"Fail", "Purge"}, "**EXPIRED**"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStub(1)
			s.failed = c.failed
			k := newSkipping(t, s)
			k.RegisterDelayedCallback(k.CancelWorkflow, 0)
			if err := k.export(); !sdk.IsCanceledError(err) {
				t.Errorf("the run ended with %v", err)
			}
			k.wantCalls(t, c.calls...)
			if !strings.Contains(k.details(), c.code) || strings.Contains(k.details(), export.CodeCancelled) {
				t.Errorf("the details are %q", k.details())
			}
		})
	}
}
