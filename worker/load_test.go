package worker

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"go.temporal.io/sdk/interceptor"
)

// waiting is an activity that ends when its channel is closed.
type waiting struct {
	interceptor.ActivityInboundInterceptorBase
	end chan struct{}
}

func (w *waiting) ExecuteActivity(context.Context, *interceptor.ExecuteActivityInput) (any, error) {
	<-w.end
	return nil, nil
}

func TestTheLoadIsTheMostActivitiesAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l load
		var told []int
		ctx, cancel := context.WithCancel(t.Context())
		go l.tell(ctx, func(load Load) { told = append(told, load.Activities) })
		end := make(chan struct{})
		for range 3 {
			go func() {
				a := l.InterceptActivity(ctx, &waiting{end: end})
				if _, err := a.ExecuteActivity(ctx, nil); err != nil {
					t.Error(err)
				}
			}()
		}
		time.Sleep(loadEvery + loadEvery/2)
		close(end) // in the middle of the second interval
		time.Sleep(2 * loadEvery)
		cancel()
		synctest.Wait()
		if len(told) != 3 || told[0] != 3 || told[1] != 3 || told[2] != 0 {
			t.Errorf("the load was %v, want 3, 3 and 0", told)
		}
	})
}
