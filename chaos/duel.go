package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// duel lets two attempts write the same range at once, so that only the fence in Postgres keeps the parts of one
// attempt from mixing with the parts of the other. It slows the connections to Postgres down, so that writing an
// export of several parts takes a minute. It disconnects the worker that writes the export from Temporal, and resets
// the workflow, so that the other worker begins another attempt. Then Postgres is fast again, and both attempts
// finish. Some seconds later, the disconnected worker can reach Temporal again. Until then, that worker cannot learn
// that the reset has replaced its attempt.
func (w *world) duel() fault {
	cutOff := -1 // the index of the worker that is cut off
	return fault{kind: "a worker that writes is cut off from Temporal, and a reset starts another", from: 3 * time.Second, to: 12 * time.Second,
		strike: func(ctx context.Context, r *rand.Rand) string {
			w.postgresProxy.set(crawl)
			large := w.workspaces[len(w.workspaces)-1]
			j := large.order(ctx, r, &job{format: "json"})
			if j != nil {
				cutOff = w.awaitWriter(ctx, j)
			}
			if j == nil || cutOff < 0 || !pause(ctx, between(r, time.Second, 6*time.Second)) {
				w.postgresProxy.set(pass)
				return ""
			}
			w.temporalProxies[1+cutOff].set(cut) // with hang instead of cut, Temporal could give the new attempt to this worker too
			limited, stop := context.WithTimeout(ctx, 5*time.Second)
			defer stop()
			w.reset(limited, j, func(tasks []int64) int64 { return tasks[len(tasks)-1] })
			return j.id
		},
		heal: func(ctx context.Context) error {
			w.postgresProxy.set(pass)
			pause(ctx, 6*time.Second)
			w.temporalProxies[1+cutOff].set(pass)
			return nil
		}}
}

// awaitWriter waits until a worker writes the export, and returns the index of the worker. It returns -1 if none does
// within 20 seconds, because Temporal is away or other exports of the workspace come first.
func (w *world) awaitWriter(ctx context.Context, j *job) (worker int) {
	ctx, stop := context.WithTimeout(ctx, 20*time.Second)
	defer stop()
	for pause(ctx, 200*time.Millisecond) {
		described, err := w.operator.DescribeWorkflowExecution(ctx, workflowID(j), "")
		if err != nil {
			continue
		}
		for _, a := range described.GetPendingActivities() {
			worker := slices.IndexFunc(w.workers, func(m *member) bool { return strings.HasPrefix(a.GetLastWorkerIdentity(), fmt.Sprint(m.pid(), "@")) })
			if worker >= 0 && a.GetActivityType().GetName() == "WriteRange" {
				return worker
			}
		}
	}
	return -1
}
