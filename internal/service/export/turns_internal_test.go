package export

import (
	"context"
	"errors"
	"sync"
	"testing"
)

func TestOneCallerAtATimeHasTheTurnOfAKey(t *testing.T) {
	t.Parallel()
	var all turns
	var group sync.WaitGroup
	counts := map[string]*int{"a": new(int), "b": new(int)} // not atomic, so that two callers at once cause a race or a wrong total
	for range 100 {
		for key, count := range counts {
			group.Go(func() {
				done, err := all.take(context.Background(), key)
				if err != nil {
					t.Error(err)
					return
				}
				defer done()
				*count++
			})
		}
	}
	group.Wait()
	if *counts["a"] != 100 || *counts["b"] != 100 || len(all.byKey) != 0 {
		t.Errorf("%d and %d callers had their turn, and %d keys are left", *counts["a"], *counts["b"], len(all.byKey))
	}
}

func TestACallerThatGivesUpLeavesTheQueue(t *testing.T) {
	t.Parallel()
	var all turns
	done, err := all.take(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := all.take(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("the second caller: %v", err)
	}
	done()
	if len(all.byKey) != 0 {
		t.Errorf("%d keys are left", len(all.byKey))
	}
}
