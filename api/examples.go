package api

import (
	"time"

	"memexport/internal/service/export"
	"memexport/internal/service/memory"
)

// These are the exports that the OpenAPI document shows as examples.

const (
	exampleID     = "0198c2a4-6d0e-7c55-9f0a-3c1d5b7e9a24"
	exampleSHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

func pendingExample() Export {
	user, created := "user-123", time.Date(2026, 1, 15, 10, 30, 0, 0, time.UTC)
	return Export{
		ID: exampleID, Format: "csv", Status: export.Pending, CreatedAt: created, UpdatedAt: created,
		Filter: memory.Filter{UserID: &user, Categories: []string{"preferences", "work"}},
	}
}

func readyExample() Export {
	e := pendingExample()
	started, completed := e.CreatedAt.Add(time.Second), e.CreatedAt.Add(4*time.Second)
	expires, size, sum := completed.Add(72*time.Hour), int64(482133), exampleSHA256
	e.Status, e.UpdatedAt, e.StartedAt, e.CompletedAt, e.ExpiresAt = export.Ready, completed, &started, &completed, &expires
	e.MemoryCount, e.SizeBytes, e.SHA256, e.Progress = 1284, &size, &sum, 100
	return e
}

func failedExample() Export {
	e := readyExample()
	failure := export.Failures[export.CodeSourceUnavailable]
	e.Status, e.ExpiresAt, e.SizeBytes, e.SHA256, e.MemoryCount, e.Progress = export.Failed, nil, nil, nil, 640, 49
	e.Error = &ExportError{Code: failure.Code, Message: failure.Message, Retryable: failure.Retryable}
	return e
}
