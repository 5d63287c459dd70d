package main

var overview = dashboard{
	uid: "memexport-overview", title: "memexport / Overview",
	description: "Is the service healthy, who waits, what fails, how fast is it, how full is the store? docs/operations.md of memexport explains what to do.",
	rows: []row{
		{"Is it healthy?", []panel{
			{title: "Processes", description: "Processes that Prometheus reaches, those that it does not, and those that lack something: their /readyz says what.", unit: "short", kind: "stat", width: 4, queries: []query{
				{`sum(up{job="$job"})`, "up"},
				{`sum(1 - up{job="$job"})`, "down"},
				{`count(memexport_api_ready{job="$job"} == 0 or memexport_worker_ready{job="$job"} == 0) or vector(0)`, "not ready"}}},
			{title: "Workers that poll", description: "Workers that ask Temporal for activity tasks, and those of them whose build gets tasks. With 0, nothing runs.", unit: "short", kind: "stat", width: 4, queries: []query{
				{`count(sum by (instance) (temporal_num_pollers{job="$job", poller_type="activity_task"}) > 0) or vector(0)`, "poll"},
				{`sum(memexport_worker_current{job="$job"})`, "get tasks"}}},
			{title: "Oldest unfinished export", description: "Time since the oldest export with this status got its place to run. Exports that wait for a place do not count.", unit: "s", kind: "stat", width: 4, queries: []query{
				{`max by (status) (memexport_oldest_unfinished_seconds{job="$job"})`, "{{status}}"}}},
			{title: "Stuck exports", description: "Exports that make no progress and that the reconciler cannot help, all reasons together.", unit: "short", kind: "stat", width: 4, queries: []query{
				{`sum(max by (reason) (memexport_stuck_exports{job="$job"}))`, ""}}},
			{title: "Purges overdue", description: "Exports whose objects should have been deleted at least 10 minutes ago.", unit: "short", kind: "stat", width: 4, queries: []query{
				{`max(memexport_purges_overdue{job="$job"})`, ""}}},
			{title: "Last scheduled runs", description: "Time since a run of the reconciler and of the sweeper last succeeded.", unit: "s", kind: "stat", width: 4, queries: []query{
				{`time() - max(memexport_reconciler_success_timestamp_seconds{job="$job"})`, "reconciler"},
				{`time() - max(memexport_sweeper_success_timestamp_seconds{job="$job"})`, "sweeper"}}},
		}},
		{"Who waits?", []panel{
			{title: "Unfinished exports", description: "Exports that run, and exports that have not begun.", unit: "short", queries: []query{
				{`sum by (status) (max by (status, format) (memexport_exports{job="$job", status=~"PENDING|PROCESSING"})) or vector(0)`, "{{status}}"},
				{`max(memexport_queued_exports{job="$job"})`, "waiting for a place of their workspace"}}},
			{title: "Oldest waiting exports", description: "Age of the oldest export that waits for a place of its workspace (EXPORT_WORKSPACE_RUNNING), and of the oldest ones that have a place.", unit: "s", queries: []query{
				{`max(memexport_oldest_queued_seconds{job="$job"})`, "waits for a place"},
				{`max by (status) (memexport_oldest_unfinished_seconds{job="$job"})`, "{{status}}"}}},
			{title: "Time until an export starts", description: "From the POST until PROCESSING, including the wait for a place.", unit: "s", queries: []query{
				{`histogram_quantile(0.5, sum by (le) (rate(memexport_export_start_seconds_bucket{job="$job"}[$__rate_interval])))`, "median"},
				{`histogram_quantile(0.99, sum by (le) (rate(memexport_export_start_seconds_bucket{job="$job"}[$__rate_interval])))`, "p99"}}},
		}},
		{"What fails?", []panel{
			{title: "Exports ended", description: "Exports that became READY, FAILED or EXPIRED, in a minute.", unit: "cpm", queries: []query{
				{`60 * sum by (status) (rate(memexport_exports_ended_total{job="$job"}[$__rate_interval]))`, "{{status}}"}}},
			{title: "Failures by code", description: "Exports that became FAILED, in a minute. docs/architecture.md says what each code means.", unit: "cpm", queries: []query{
				{`60 * sum by (code) (rate(memexport_exports_ended_total{job="$job", status="FAILED"}[$__rate_interval]))`, "{{code}}"}}},
			{title: "Parts retried", description: "Parts that could not be stored or recorded, in a minute, by the type of the error. Stopped and Overtaken belong to restarts.", unit: "cpm", queries: []query{
				{`60 * sum by (reason) (rate(memexport_parts_retried_total{job="$job"}[$__rate_interval]))`, "{{reason}}"}}},
			{title: "Answers of the API", description: "Requests a second by status.", unit: "reqps", queries: []query{
				{`sum by (http_response_status_code) (rate(http_server_request_duration_seconds_count{job="$job"}[$__rate_interval]))`, "{{http_response_status_code}}"}}},
			{title: "Requests that limits refuse", description: "Requests a second that were refused, by limit. docs/limits.md explains the limits.", unit: "reqps", queries: []query{
				{`sum by (limit) (rate(memexport_limits_hit_total{job="$job"}[$__rate_interval]))`, "{{limit}}"}}},
			{title: "Requests to Temporal that fail", description: "Requests a second of both kinds of process that fail, by status. NOT_FOUND and ALREADY_EXISTS are normal answers.", unit: "reqps", queries: []query{
				{`sum by (status_code) (rate(temporal_request_failure_total{job="$job"}[$__rate_interval]) or rate(temporal_long_request_failure_total{job="$job"}[$__rate_interval]))`, "{{status_code}}"},
				{`sum by (cause) (rate(temporal_request_resource_exhausted_total{job="$job"}[$__rate_interval]))`, "RESOURCE_EXHAUSTED {{cause}}"}}},
		}},
		{"How fast?", []panel{
			{title: "Time until READY", description: "From the POST until READY.", unit: "s", queries: []query{
				{`histogram_quantile(0.5, sum by (le) (rate(memexport_export_ready_seconds_bucket{job="$job"}[$__rate_interval])))`, "median"},
				{`histogram_quantile(0.99, sum by (le) (rate(memexport_export_ready_seconds_bucket{job="$job"}[$__rate_interval])))`, "p99"}}},
			{title: "Memories written and sent", description: "Memories a second: in recorded parts, by format, and in files that clients got in one answer.", unit: "short", queries: []query{
				{`sum by (format) (rate(memexport_memories_written_total{job="$job"}[$__rate_interval]))`, "{{format}}"},
				{`sum(rate(memexport_downloaded_memories_total{job="$job"}[$__rate_interval]))`, "sent"}}},
			{title: "Bytes written, verified and sent", description: "Bytes a second: written to parts, read back and compared, and sent to clients.", unit: "Bps", queries: []query{
				{`sum(rate(memexport_written_bytes_total{job="$job"}[$__rate_interval]))`, "written"},
				{`sum(rate(memexport_verified_bytes_total{job="$job"}[$__rate_interval]))`, "verified"},
				{`sum(rate(memexport_downloaded_bytes_total{job="$job"}[$__rate_interval]))`, "sent"}}},
		}},
		{"How full?", []panel{
			{title: "Bytes in the bucket", description: "Bytes that the exports have in the bucket. Compare them with EXPORT_STORAGE, the disk or the quota.", unit: "bytes", queries: []query{
				{`max(memexport_stored_bytes{job="$job"})`, "stored"}}},
			{title: "Exports in the bucket", description: "Exports whose objects are not deleted yet, by status.", unit: "short", queries: []query{
				{`sum by (status) (max by (status, format) (memexport_exports{job="$job"}))`, "{{status}}"}}},
			{title: "Store full", description: "1 while new exports are refused because the store is full or EXPORT_STORAGE is reached.", unit: "short", queries: []query{
				{`max(memexport_store_full{job="$job"})`, "full"}}},
		}},
	},
}
