package main

var api = dashboard{
	uid: "memexport-api", title: "memexport / API", processes: true,
	description: "What clients ask for, how fast the API answers, and what it refuses.",
	rows: []row{
		{"Requests", []panel{
			{title: "Requests by route", description: "Requests a second by method and route.", unit: "reqps", queries: []query{
				{`sum by (http_request_method, http_route) (rate(http_server_request_duration_seconds_count{job="$job", instance=~"$instance"}[$__rate_interval]))`, "{{http_request_method}} {{http_route}}"}}},
			{title: "Answers by status", description: "Requests a second by status. 499 means that the client went away.", unit: "reqps", queries: []query{
				{`sum by (http_response_status_code) (rate(http_server_request_duration_seconds_count{job="$job", instance=~"$instance"}[$__rate_interval]))`, "{{http_response_status_code}}"}}},
			{title: "Share of 5xx", description: "Requests to /v1/ that fail by a fault of the service, as a share of all requests to /v1/.", unit: "percentunit", queries: []query{
				{`(sum(rate(http_server_request_duration_seconds_count{job="$job", instance=~"$instance", http_route=~"/v1/.*", http_response_status_code=~"5.."}[$__rate_interval])) or vector(0)) / sum(rate(http_server_request_duration_seconds_count{job="$job", instance=~"$instance", http_route=~"/v1/.*"}[$__rate_interval]))`, "5xx"}}},
			{title: "Time of an answer", description: "p50 and p99 by route. Requests for one export may be long polls, and downloads take as long as the client does.", unit: "s", width: 16, queries: []query{
				{`histogram_quantile(0.5, sum by (le, http_request_method, http_route) (rate(http_server_request_duration_seconds_bucket{job="$job", instance=~"$instance"}[$__rate_interval])))`, "p50 {{http_request_method}} {{http_route}}"},
				{`histogram_quantile(0.99, sum by (le, http_request_method, http_route) (rate(http_server_request_duration_seconds_bucket{job="$job", instance=~"$instance"}[$__rate_interval])))`, "p99 {{http_request_method}} {{http_route}}"}}},
			{title: "Refused by limits", description: "Requests a second that were refused, by limit. docs/limits.md explains the limits.", unit: "reqps", queries: []query{
				{`sum by (limit) (rate(memexport_limits_hit_total{job="$job", instance=~"$instance"}[$__rate_interval]))`, "{{limit}}"}}},
		}},
		{"Exports and downloads", []panel{
			{title: "Exports created", description: "Exports that were created, in a minute, by format.", unit: "cpm", queries: []query{
				{`60 * sum by (format) (rate(memexport_exports_created_total{job="$job", instance=~"$instance"}[$__rate_interval]))`, "{{format}}"}}},
			{title: "Exports deleted", description: "Exports that their owners deleted, in a minute, by format.", unit: "cpm", queries: []query{
				{`60 * sum by (format) (rate(memexport_exports_deleted_total{job="$job", instance=~"$instance"}[$__rate_interval]))`, "{{format}}"}}},
			{title: "Downloads", description: "Downloads in a minute: sent, broken off, or redirected to the store.", unit: "cpm", queries: []query{
				{`60 * sum by (outcome) (rate(memexport_downloads_total{job="$job", instance=~"$instance"}[$__rate_interval]))`, "{{outcome}}"}}},
			{title: "Bytes sent", description: "Bytes of files a second, by format, as they are sent.", unit: "Bps", queries: []query{
				{`sum by (format) (rate(memexport_downloaded_bytes_total{job="$job", instance=~"$instance"}[$__rate_interval]))`, "{{format}}"}}},
			{title: "Downloads and long polls in flight", description: "Files that are being sent, and requests that wait for an export. API_DOWNLOADS and API_LONG_POLLS bound them.", unit: "short", queries: []query{
				{`sum by (instance) (memexport_downloads_in_flight{job="$job", instance=~"$instance"})`, "{{instance}} downloads"},
				{`sum by (instance) (memexport_long_polls_in_flight{job="$job", instance=~"$instance"})`, "{{instance}} long polls"}}},
		}},
		{"What the API depends on", []panel{
			{title: "Statements", description: "p99 of the time of statements on the service's own tables, by kind.", unit: "s", queries: []query{
				{`histogram_quantile(0.99, sum by (le, db_operation_name) (rate(db_client_operation_duration_seconds_bucket{job="$job", instance=~"$instance"}[$__rate_interval])))`, "{{db_operation_name}}"}}},
			{title: "Statements that fail", description: "Statements a second that fail, by the kind of the error.", unit: "short", queries: []query{
				{`sum by (error_type) (rate(db_client_operation_duration_seconds_count{job="$job", instance=~"$instance", error_type!=""}[$__rate_interval]))`, "{{error_type}}"}}},
			{title: "Connections in use", description: "Connections to Postgres in use, as a share of the pool.", unit: "percentunit", queries: []query{
				{`sum by (instance, pool) (db_sql_connection_open{job="$job", instance=~"$instance", status="inuse"}) / sum by (instance, pool) (db_sql_connection_max_open{job="$job", instance=~"$instance"})`, "{{instance}} {{pool}}"}}},
			{title: "Waiting for a connection", description: "How many callers wait for a connection, on average.", unit: "short", queries: []query{
				{`sum by (instance, pool) (rate(db_sql_connection_wait_duration_milliseconds_total{job="$job", instance=~"$instance"}[$__rate_interval])) / 1000`, "{{instance}} {{pool}}"}}},
			{title: "Requests to Temporal", description: "p99 of the time of requests, by operation. A POST waits for its start for at most 2 seconds.", unit: "s", queries: []query{
				{`histogram_quantile(0.99, sum by (le, operation) (rate(temporal_request_latency_seconds_bucket{job="$job", instance=~"$instance"}[$__rate_interval])))`, "{{operation}}"}}},
			{title: "Calls to the bucket", description: "p99 of the time of calls by kind. A read lasts until its last byte.", unit: "ms", queries: []query{
				{`histogram_quantile(0.99, sum by (le, gocdk_method) (rate(gocloud_dev_blob_latency_milliseconds_bucket{job="$job", instance=~"$instance"}[$__rate_interval])))`, "{{gocdk_method}}"}}},
		}},
		process,
	},
}
