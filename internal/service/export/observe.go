package export

import "context"

// Step is a step in the life of an export.
type Step string

// The steps in the life of an export.
const (
	StepCreated Step = "created"
	StepStarted Step = "started" // became PROCESSING
	StepReady   Step = "ready"
	StepFailed  Step = "failed"
	StepExpired Step = "expired"
	StepPurged  Step = "purged" // its objects were deleted
	StepDeleted Step = "deleted"
)

// Observer is called once for each step of an export, after the step is committed, and only in the process
// that changed the row. e is the export after the step. An observer must return quickly.
type Observer func(ctx context.Context, step Step, e Export)

// WithObserver returns a store for the same database, with the same limits, that calls observe.
func (s *Store) WithObserver(observe Observer) *Store {
	return &Store{db: s.db, limits: s.limits, observer: observe}
}

func (s *Store) observe(ctx context.Context, step Step, e Export) {
	if s.observer != nil {
		s.observer(ctx, step, e)
	}
}
