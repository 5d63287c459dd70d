package workflows

import "time"

// SetRecheck sets how long the starter believes that the namespace lacks the search attributes.
func (s *Starter) SetRecheck(d time.Duration) { s.recheck = d }
