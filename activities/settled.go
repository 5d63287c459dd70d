package activities

import (
	"time"

	"memexport/internal/service/export"
)

// Settled describes an export that had ended before an activity ran, for example because the workflow was
// reset or started again. It is the zero value while the export is unfinished, and in histories of earlier
// versions.
type Settled struct {
	Status    export.Status `json:"status,omitempty"` // READY, FAILED or EXPIRED
	Code      string        `json:"code,omitempty"`   // the failure code of a FAILED export
	Memories  int64         `json:"memories,omitempty"`
	Bytes     int64         `json:"bytes,omitempty"`
	ExpiresAt time.Time     `json:"expires_at,omitzero"` // when the downloads end; zero for a FAILED export
	PurgeAt   time.Time     `json:"purge_at,omitzero"`   // when to delete the objects; zero for a READY export
	Purged    bool          `json:"purged,omitempty"`    // the objects are deleted already
	Deleted   bool          `json:"deleted,omitempty"`   // the owner deleted the export
}

// Is reports whether the export has ended.
func (s Settled) Is() bool { return s.Status != "" }

// settled describes an export if it has ended.
func (a *Activities) settled(e export.Export) Settled {
	if !e.StoredStatus.Terminal() {
		return Settled{}
	}
	s := Settled{Status: e.StoredStatus, Memories: e.MemoryCount, Purged: e.PurgedAt != nil, Deleted: e.DeletedAt != nil}
	if e.SizeBytes != nil {
		s.Bytes = *e.SizeBytes
	}
	if e.ExpiresAt != nil {
		s.ExpiresAt = *e.ExpiresAt
	}
	switch e.StoredStatus {
	case export.Ready:
		if e.DeletedAt != nil {
			s.ExpiresAt = *e.DeletedAt
		}
	case export.Failed:
		s.Code, s.PurgeAt = e.Failure.Code, *e.CompletedAt // nobody downloads the objects, so they need no grace period
	case export.Expired:
		s.PurgeAt = a.purgeAt(e)
	}
	return s
}

// purgeAt returns the time at which to delete the objects of an export that has ended. The objects of a
// deleted export are deleted at once, because its owner asked for that.
func (a *Activities) purgeAt(e export.Export) time.Time {
	if e.ExpiresAt == nil || e.DeletedAt != nil { // the export was never READY, or is deleted, so nobody is downloading it
		return time.Now()
	}
	return e.ExpiresAt.Add(a.Grace)
}
