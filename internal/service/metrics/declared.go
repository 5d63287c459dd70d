package metrics

// The values of labels that several metrics share. Tests compare them with the packages that define them.
var (
	formats  = Label{"format", []string{"json", "csv", "markdown", "ndjson", "parquet"}}
	statuses = Label{"status", []string{"PENDING", "PROCESSING", "READY", "FAILED", "EXPIRED"}}
)

// None is recorded for the label code if an export did not fail.
const None = "none"

// The buckets of histograms, in seconds.
var (
	short = []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30}
	long  = []float64{0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200}
)

// These metrics repeat what /readyz says. A process checks itself every 15 seconds.
var (
	APIReady = gauge("memexport_api_ready", API,
		"1 if the API can do its work, 0 if /readyz would answer 503.")
	WorkerReady = gauge("memexport_worker_ready", Worker,
		"1 if the worker can do its work, 0 if /readyz would answer 503, for example because a database is away.")
	Current = gauge("memexport_worker_current", Worker,
		"1 if Temporal gives new tasks to the build of this worker, also while it ramps, otherwise 0.")
)

// These metrics describe the table of exports. When a worker is scraped, it reads the table, but at most
// every 15 seconds. Every worker reports the same numbers, so queries take the maximum over the workers.
var (
	Exports = observed("memexport_exports", Worker,
		"Exports whose objects are not deleted yet, by the status that clients see.", statuses, formats)
	OldestUnfinished = observed("memexport_oldest_unfinished_seconds", Worker,
		"Time since the oldest export with this status got its place to run. 0 if there is none. Exports that wait for a place do not count.",
		Label{"status", []string{"PENDING", "PROCESSING"}})
	Queued = observed("memexport_queued_exports", Worker,
		"PENDING exports that wait for one of the places of their workspace.")
	OldestQueued = observed("memexport_oldest_queued_seconds", Worker,
		"Age of the oldest export that waits for one of the places of its workspace. 0 if none waits.")
	PurgesOverdue = observed("memexport_purges_overdue", Worker,
		"Exports whose objects should have been deleted at least 10 minutes ago.")
	StoredBytes = observed("memexport_stored_bytes", Worker,
		"Bytes that the exports have in the bucket.")
	StoreFull = observed("memexport_store_full", Worker,
		"1 while new exports are refused because the store is full or EXPORT_STORAGE is reached, otherwise 0.")
	TableErrors = counter("memexport_table_errors_total", Worker,
		"Scrapes that lack the gauges above because the database did not answer within 5 seconds.")
)

// These metrics count and time the steps in the life of exports.
var (
	Created = counter("memexport_exports_created_total", API,
		"Exports that were created. A repeated Idempotency-Key creates none.", formats)
	Deleted = counter("memexport_exports_deleted_total", API,
		"Exports that their owners deleted.", formats)
	Ended = counter("memexport_exports_ended_total", Worker,
		"Exports that became READY, FAILED or EXPIRED. The code is the failure's, or none.",
		Label{"status", []string{"READY", "FAILED", "EXPIRED"}},
		Label{"code", []string{None, "SOURCE_UNAVAILABLE", "SOURCE_INVALID", "STORAGE_UNAVAILABLE", "STORAGE_DENIED", "STORAGE_LIMIT",
			"TIMED_OUT", "CANCELLED", "TERMINATED", "INTERNAL"}}).
		where(func(v []string) bool { return (v[0] == "FAILED") != (v[1] == None) })
	Purged = counter("memexport_exports_purged_total", Worker,
		"Exports whose objects were deleted.")
	StartSeconds = histogram("memexport_export_start_seconds", Worker,
		"Time from the creation of an export until it became PROCESSING, including the wait for a place.", long, formats)
	ReadySeconds = histogram("memexport_export_ready_seconds", Worker,
		"Time from the creation of an export until it became READY.", long, formats)
)

// These metrics describe the work on ranges and parts.
var (
	RangesInFlight = inFlight("memexport_ranges_in_flight", Worker,
		"Ranges of exports that this worker writes at the moment.")
	MemoriesWritten = counter("memexport_memories_written_total", Worker,
		"Memories in recorded parts.", formats)
	BytesWritten = counter("memexport_written_bytes_total", Worker,
		"Bytes in recorded parts, before compression.", formats)
	PartsWritten = counter("memexport_parts_written_total", Worker,
		"Parts that were stored and recorded.", formats)
	PartsRetried = counter("memexport_parts_retried_total", Worker,
		"Parts that could not be stored or recorded, so that another attempt writes them again, by the type of the error.",
		Label{"reason", []string{"DatabaseUnavailable", "ExportClosed", "Overtaken", "StorageDenied", "StorageFull", "StorageUnavailable", "Stopped", Other}})
	SourceSeconds = histogram("memexport_source_query_seconds", Worker,
		"Time until the memories database answered the query for a page of up to 100,000 memories with its first row.", short)
	VerifySeconds = histogram("memexport_verification_seconds", Worker,
		"Time to read the parts of one range back and to compare them with their checksums.", long, formats)
	VerifyFailed = counter("memexport_verifications_failed_total", Worker,
		"Ranges that could not be read back or had wrong checksums, by the type of the error. StorageCorrupt means other bytes than were written.",
		Label{"reason", []string{"StorageCorrupt", "StorageDenied", "StorageUnavailable", "Stopped", Other}})
	BytesVerified = counter("memexport_verified_bytes_total", Worker,
		"Bytes that were read back and had the right checksum, before compression.", formats)
)

// These metrics describe the runs of the reconciler and the sweeper.
var (
	Reconciled = counter("memexport_reconciled_total", Worker,
		"Exports that the reconciler started, settled (made FAILED or EXPIRED, or purged), or gave a place to run, and those for which that failed.",
		Label{"action", []string{"start", "settle", "dispatch", "error"}})
	ReconcilerSuccess = gauge("memexport_reconciler_success_timestamp_seconds", Worker,
		"When a run of the reconciler last ended without an error on this worker, in Unix time.")
	Stuck = observed("memexport_stuck_exports", Worker,
		"Unfinished exports that make no progress and that the reconciler cannot settle, by the likely reason. Shown by the workers that did the last runs.",
		Label{"reason", []string{"workflow-paused", "activity-paused", "no-poller", "not-current", "workflow-task-fails", "activity-fails", "busy"}})
	Swept = counter("memexport_swept_total", Worker,
		"What the sweeper deleted: the objects of exports that nobody needs, rows of old exports (history), the filters of purged exports (erased), audit events.",
		Label{"kind", []string{"objects", "history", "erased", "audit"}})
	SweeperSuccess = gauge("memexport_sweeper_success_timestamp_seconds", Worker,
		"When a run of the sweeper last ended without an error on this worker, in Unix time.")
)

// These metrics describe what the API sends and what it refuses.
var (
	LimitsHit = counter("memexport_limits_hit_total", API,
		"Requests that were refused because of a limit. docs/limits.md explains the limits.",
		Label{"limit", []string{LimitRequests, LimitLongPolls, LimitLongPollsPerKey, LimitDownloads, LimitDownloadsPerKey,
			LimitUnfinished, LimitStored, LimitStoreFull, LimitFailures, LimitConnections}})
	DownloadsInFlight = inFlight("memexport_downloads_in_flight", API,
		"Files that this process sends at the moment.")
	LongPollsInFlight = inFlight("memexport_long_polls_in_flight", API,
		"Requests that wait for an export at this process.")
	Downloads = counter("memexport_downloads_total", API,
		"Downloads: sent in full or in the parts that the client asked for, broken off, or redirected to the store.",
		Label{"outcome", []string{DownloadSent, DownloadBroken, DownloadRedirected}}, formats)
	MemoriesDownloaded = counter("memexport_downloaded_memories_total", API,
		"Memories in files that were sent from the first byte to the last in one answer. Answers to Range requests do not count.", formats)
	BytesDownloaded = counter("memexport_downloaded_bytes_total", API,
		"Bytes of files that this process sent, as they were sent: compressed if the client accepts that.", formats)
)

// The values of the label limit.
const (
	LimitRequests        = "requests"
	LimitLongPolls       = "long-polls"
	LimitLongPollsPerKey = "long-polls-per-key"
	LimitDownloads       = "downloads"
	LimitDownloadsPerKey = "downloads-per-key"
	LimitUnfinished      = "unfinished-exports"
	LimitStored          = "stored-bytes"
	LimitStoreFull       = "store-full"
	LimitFailures        = "auth-failures"
	LimitConnections     = "connections"
)

// The values of the label outcome.
const (
	DownloadSent       = "sent"
	DownloadBroken     = "broken"
	DownloadRedirected = "redirected"
)
