#!/usr/bin/env bash
# Runs every fuzz target for FUZZ_SECONDS, 10 by default, and prints how often each was executed. It
# fails at the first finding; go test then says in which file below testdata/fuzz the input is.
set -euo pipefail
seconds=${FUZZ_SECONDS:-10}
go=${GO:-go}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Before Go 1.27 a target may fail with nothing but "context deadline exceeded" when its time is over:
# https://go.dev/issue/75804. A finding always names the file of its input, or the stored input that failed.
ended_on_time() {
  grep -qx '    context deadline exceeded' "$log" && ! grep -qE 'Failing input written|failure while testing seed corpus|panic:' "$log"
}

# run_target fuzzes a target for a number of seconds and sets executions.
run_target() {
  local folder=$1 name=$2 seconds=$3
  # Use one fuzzing worker, because each worker of the package api starts its own Postgres. Minimizing an
  # input is limited, because it would not end where the coverage varies with timing.
  if ! "$go" test -run '^$' -fuzz "^$name\$" -fuzztime "${seconds}s" -fuzzminimizetime 10x -parallel "${FUZZ_PARALLEL:-1}" "./$folder" >"$log" 2>&1 && ! ended_on_time; then
    cat "$log"
    exit 1
  fi
  # The stored inputs run first. A short time may not suffice for more.
  executions=$(grep -oE '(execs: |coverage: )[0-9]+' "$log" | tail -1 | grep -oE '[0-9]+' || true)
}

targets=$(git ls-files '*_test.go' | xargs grep -oE '^func Fuzz[A-Za-z0-9]+' | sed 's/:func /:/' | sort)
for target in $targets; do
  name=${target##*:} folder=$(dirname "${target%%:*}") spent=$seconds
  run_target "$folder" "$name" "$spent"
  if [ "${executions:-0}" = 0 ]; then
    spent=$((seconds + 60)) # on a busy machine, the Postgres of a target may need longer to start
    run_target "$folder" "$name" "$spent"
  fi
  if [ "${executions:-0}" = 0 ]; then
    cat "$log"
    echo "$folder $name was not executed" >&2
    exit 1
  fi
  printf '%-32s %-28s %10s executions in %ss\n' "$folder" "$name" "$executions" "$spent"
done
