package main

var worker = dashboard{
	uid: "memexport-worker", title: "memexport / Worker", processes: true,
	description: "What workers do, what they wait for, and what they need.",
	rows: []row{
		{"Work", []panel{
			{title: "Activity slots", description: "Activities that run, and places that are free (WORKER_CONCURRENCY). 0 free for long means: add workers.", unit: "short", queries: []query{
				{`sum by (instance) (temporal_worker_task_slots_used{job="$job", instance=~"$instance", worker_type="ActivityWorker"})`, "{{instance}} used"},
				{`sum by (instance) (temporal_worker_task_slots_available{job="$job", instance=~"$instance", worker_type="ActivityWorker"})`, "{{instance}} free"}}},
			{title: "Ranges in flight", description: "Ranges of exports that are being written.", unit: "short", queries: []query{
				{`memexport_ranges_in_flight{job="$job", instance=~"$instance"}`, "{{instance}}"}}},
			{title: "Memories written", description: "Memories in recorded parts, a second.", unit: "short", queries: []query{
				{`sum by (instance) (rate(memexport_memories_written_total{job="$job", instance=~"$instance"}[$__rate_interval]))`, "{{instance}}"}}},
			{title: "Parts written", description: "Parts of about 8 MiB that were stored and recorded, a second, by format.", unit: "short", queries: []query{
				{`sum by (format) (rate(memexport_parts_written_total{job="$job", instance=~"$instance"}[$__rate_interval]))`, "{{format}}"}}},
			{title: "Time of an attempt by activity", description: "p99 of the time that attempts take, by the type of the activity.", unit: "s", queries: []query{
				{`histogram_quantile(0.99, sum by (le, activity_type) (rate(temporal_activity_execution_latency_seconds_bucket{job="$job", instance=~"$instance"}[$__rate_interval])))`, "{{activity_type}}"}}},
			{title: "Failed attempts by activity", description: "Attempts of activities that failed, in a minute. Temporal tries them again.", unit: "cpm", queries: []query{
				{`60 * sum by (activity_type) (rate(temporal_activity_execution_failed_total{job="$job", instance=~"$instance"}[$__rate_interval]))`, "{{activity_type}}"}}},
		}},
		{"Temporal", []panel{
			{title: "Pollers", description: "Calls that wait for tasks. 0 means that the worker gets none.", unit: "short", queries: []query{
				{`sum by (instance, poller_type) (temporal_num_pollers{job="$job", instance=~"$instance"})`, "{{instance}} {{poller_type}}"}}},
			{title: "Wait of workflow tasks", description: "How long workflow tasks wait for a worker.", unit: "s", queries: []query{
				{`histogram_quantile(0.5, sum by (le) (rate(temporal_workflow_task_schedule_to_start_latency_seconds_bucket{job="$job", instance=~"$instance"}[$__rate_interval])))`, "median"},
				{`histogram_quantile(0.99, sum by (le) (rate(temporal_workflow_task_schedule_to_start_latency_seconds_bucket{job="$job", instance=~"$instance"}[$__rate_interval])))`, "p99"}}},
			{title: "Workflow tasks that fail", description: "Workflow tasks that fail, in a minute. NonDeterminismError means that this build does not fit what another one began.", unit: "cpm", queries: []query{
				{`60 * sum by (failure_reason) (rate(temporal_workflow_task_execution_failed_total{job="$job", instance=~"$instance"}[$__rate_interval]))`, "{{failure_reason}}"}}},
			{title: "Workflows in memory", description: "Workflows in the worker's cache, which holds 500. Sleeping exports fill it, which is normal.", unit: "short", queries: []query{
				{`max by (instance) (temporal_sticky_cache_size{job="$job", instance=~"$instance"})`, "{{instance}}"}}},
			{title: "Cache hits and misses", description: "Workflow tasks a second whose workflow was in the cache, or had to be replayed from its history. Two misses for three hits are normal; with more misses than hits, more exports run than the cache holds.", unit: "short", queries: []query{
				{`sum(rate(temporal_sticky_cache_hit_total{job="$job", instance=~"$instance"}[$__rate_interval]))`, "hits"},
				{`sum(rate(temporal_sticky_cache_miss_total{job="$job", instance=~"$instance"}[$__rate_interval]))`, "misses"}}},
			{title: "Requests to Temporal", description: "p99 of the time of requests that do not wait for tasks, by operation.", unit: "s", queries: []query{
				{`histogram_quantile(0.99, sum by (le, operation) (rate(temporal_request_latency_seconds_bucket{job="$job", instance=~"$instance"}[$__rate_interval])))`, "{{operation}}"}}},
		}},
		{"Databases and bucket", []panel{
			{title: "First row of a page", description: "Time until the memories database answers the query for a page of up to 100,000 memories with its first row.", unit: "s", queries: []query{
				{`histogram_quantile(0.5, sum by (le) (rate(memexport_source_query_seconds_bucket{job="$job", instance=~"$instance"}[$__rate_interval])))`, "median"},
				{`histogram_quantile(0.99, sum by (le) (rate(memexport_source_query_seconds_bucket{job="$job", instance=~"$instance"}[$__rate_interval])))`, "p99"}}},
			{title: "Verification of a range", description: "Time to read the parts of a range back and to compare them with their checksums.", unit: "s", queries: []query{
				{`histogram_quantile(0.99, sum by (le) (rate(memexport_verification_seconds_bucket{job="$job", instance=~"$instance"}[$__rate_interval])))`, "p99"}}},
			{title: "Verifications that fail", description: "Ranges in a minute that could not be read back, by the type of the error. StorageCorrupt means other bytes than were written.", unit: "cpm", queries: []query{
				{`60 * sum by (reason) (rate(memexport_verifications_failed_total{job="$job", instance=~"$instance"}[$__rate_interval]))`, "{{reason}}"}}},
			{title: "Calls to the bucket", description: "p99 of the time of calls by kind. A read lasts until its last byte.", unit: "ms", queries: []query{
				{`histogram_quantile(0.99, sum by (le, gocdk_method) (rate(gocloud_dev_blob_latency_milliseconds_bucket{job="$job", instance=~"$instance"}[$__rate_interval])))`, "{{gocdk_method}}"}}},
			{title: "Calls to the bucket that fail", description: "Calls a second that fail, by the kind of the error.", unit: "short", queries: []query{
				{`sum by (gocdk_status) (rate(gocloud_dev_blob_latency_milliseconds_count{job="$job", instance=~"$instance", gocdk_status!="OK"}[$__rate_interval]))`, "{{gocdk_status}}"}}},
			{title: "Bytes read from the bucket", description: "Bytes a second that verification reads.", unit: "Bps", queries: []query{
				{`sum by (instance) (rate(gocloud_dev_blob_bytes_read_total{job="$job", instance=~"$instance"}[$__rate_interval]))`, "{{instance}}"}}},
			{title: "Connections in use", description: "Connections to Postgres in use, as a share of the pool.", unit: "percentunit", queries: []query{
				{`sum by (instance, pool) (db_sql_connection_open{job="$job", instance=~"$instance", status="inuse"}) / sum by (instance, pool) (db_sql_connection_max_open{job="$job", instance=~"$instance"})`, "{{instance}} {{pool}}"}}},
			{title: "Waiting for a connection", description: "How many callers wait for a connection, on average.", unit: "short", queries: []query{
				{`sum by (instance, pool) (rate(db_sql_connection_wait_duration_milliseconds_total{job="$job", instance=~"$instance"}[$__rate_interval])) / 1000`, "{{instance}} {{pool}}"}}},
		}},
		{"Scheduled work", []panel{
			{title: "Reconciler", description: "Exports that the reconciler started, settled or gave a place, and errors, in an hour.", unit: "short", queries: []query{
				{`sum by (action) (increase(memexport_reconciled_total{job="$job", instance=~"$instance"}[1h]))`, "{{action}}"}}},
			{title: "Sweeper", description: "What the sweeper deleted, in an hour.", unit: "short", queries: []query{
				{`sum by (kind) (increase(memexport_swept_total{job="$job", instance=~"$instance"}[1h]))`, "{{kind}}"}}},
			{title: "Stuck exports by reason", description: "docs/temporal-ui.md says what to do for each reason.", unit: "short", queries: []query{
				{`max by (reason) (memexport_stuck_exports{job="$job"})`, "{{reason}}"}}},
			{title: "Purges", description: "Exports whose objects were deleted, in a minute.", unit: "cpm", queries: []query{
				{`60 * sum(rate(memexport_exports_purged_total{job="$job", instance=~"$instance"}[$__rate_interval]))`, "purged"}}},
			{title: "Scrapes without numbers of exports", description: "Scrapes in a minute that lack what the database says, because it did not answer within 5 seconds.", unit: "cpm", queries: []query{
				{`60 * sum(rate(memexport_table_errors_total{job="$job", instance=~"$instance"}[$__rate_interval]))`, "without"}}},
		}},
		process,
	},
}

// process is a row about the process itself.
var process = row{"Process", []panel{
	{title: "Processor", description: "Processors in use.", unit: "short", queries: []query{
		{`rate(process_cpu_seconds_total{job="$job", instance=~"$instance"}[$__rate_interval])`, "{{instance}}"}}},
	{title: "Memory", description: "Resident memory, and the part of it that Go's heap uses.", unit: "bytes", queries: []query{
		{`process_resident_memory_bytes{job="$job", instance=~"$instance"}`, "{{instance}}"},
		{`go_memstats_heap_inuse_bytes{job="$job", instance=~"$instance"}`, "{{instance}} heap"}}},
	{title: "Open files and connections", description: "As a share of the process's limit.", unit: "percentunit", queries: []query{
		{`process_open_fds{job="$job", instance=~"$instance"} / process_max_fds{job="$job", instance=~"$instance"}`, "{{instance}}"}}},
	{title: "Goroutines", description: "Goroutines. A number that only grows is a leak.", unit: "short", queries: []query{
		{`go_goroutines{job="$job", instance=~"$instance"}`, "{{instance}}"}}},
	{title: "Uptime", description: "Time since the process started. It falls to 0 with each restart.", unit: "s", queries: []query{
		{`time() - process_start_time_seconds{job="$job", instance=~"$instance"}`, "{{instance}}"}}},
	{title: "Versions", description: "Processes by version of the program.", unit: "short", queries: []query{
		{`count by (service_name, service_version) (target_info{job="$job", instance=~"$instance"})`, "{{service_name}} {{service_version}}"}}},
}}
