#!/usr/bin/env bash
# Walks through docker-compose.yml: its header's commands, README's curl lines, and what happens when
# processes are killed. It expects a Docker engine that has or can pull the images. At the end it deletes the
# project's volumes, so it refuses to start if there are any.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ -n "$(docker volume ls --quiet --filter label=com.docker.compose.project=memexport)" ]; then
  echo "the project memexport has volumes: delete them with docker compose down --volumes, if nobody needs their data" >&2
  exit 1
fi
dir=$(mktemp -d)
began=$SECONDS
say() { echo "[$((SECONDS - began)) s] $*"; }
fail() { say "FAILED: $*" >&2; exit 1; }

clean() {
  local code=$?
  if [ "$code" != 0 ]; then docker compose ps --all || true; docker compose logs --tail 20 || true; fi
  docker compose down --volumes --timeout 40 >/dev/null 2>&1 || code=1
  rm -rf "$dir"
  if [ -n "${made_env:-}" ]; then rm -f .env; fi
  exit "$code"
}
trap clean EXIT

# status prints the status of an export.
status() { curl -sf -H "X-Api-Key: $KEY" -H 'Prefer: wait=30' "$BASE/v1/exports/$1" | jq -r .status; }

ready() {
  for _ in $(seq 20); do
    if [ "$(status "$1" || true)" = READY ]; then return; fi
    sleep 1
  done
  fail "the export $1 is $(status "$1")"
}

create() { curl -sf -X POST -H "X-Api-Key: $KEY" "$BASE/v1/exports?format=csv" | jq -r .id; }

# digest prints the SHA-256 of an export's file, which must be its ETag.
digest() {
  local sum
  sum=$(curl -sf -D "$dir/headers" -H "X-Api-Key: $KEY" "$BASE/v1/exports/$1/download" | sha256sum | cut -d' ' -f1)
  grep -qi "^etag: \"$sum\"" "$dir/headers" || fail "the file of $1 has the SHA-256 $sum, and another ETag: $(grep -i ^etag "$dir/headers")"
  echo "$sum"
}

# crash kills the process of a service, and waits until Docker has restarted it.
crash() {
  local id
  id=$(docker compose ps -q "$1")
  kill -9 "$(docker inspect --format '{{.State.Pid}}' "$id")"
  for _ in $(seq 120); do
    if [ "$(docker inspect --format '{{.RestartCount}} {{.State.Health.Status}}' "$id")" = '1 healthy' ]; then return; fi
    sleep 1
  done
  fail "the service $1 was not restarted"
}

[ -e .env ] || made_env=yes
deploy/compose/passwords
before=$(cat .env)
deploy/compose/passwords 2>/dev/null
[ "$before" = "$(cat .env)" ] || fail "deploy/compose/passwords changed .env"
[ "$(stat -c %a .env)" = 600 ] || fail ".env can be read by others"

docker compose build --quiet
say "the image memexport is built"
docker compose up --wait
say "all services are up"
docker compose ps --format '{{.Service}} {{.Status}}'

# Run the header's command, which sets BASE and KEY.
eval "$(sed -n '/^#   export BASE/,/^#$/s/^# *//p' docker-compose.yml)"
[ -n "$KEY" ] || fail "the command in the header printed no key"
# Run README's lines, except the first, which is for make run.
sed -n '/^With curl:/,/^The client program/p' README.md | sed -n '/^```sh/,/^```/p' | sed '1,2d;$d' > "$dir/readme.sh"
grep -q 'curl -OJ' "$dir/readme.sh" || fail "README has no curl lines"
export BASE KEY
(cd "$dir" && bash -euo pipefail readme.sh)
file=$(ls "$dir"/*.csv)
id=$(curl -sf -H "X-Api-Key: $KEY" "$BASE/v1/exports" | jq -r '.data[0].id')
[ "$(sha256sum < "$file" | cut -d' ' -f1)" = "$(digest "$id")" ] || fail "README's curl wrote another file"
say "README's lines downloaded $(basename "$file"), $(stat -c %s "$file") bytes"

docker compose up --wait >/dev/null 2>&1
keys=$(docker compose run --rm migrate keys list 2>/dev/null | grep -c msk_)
[ "$keys" = 1 ] || fail "there are $keys keys"
denied=$(docker compose exec -T postgres psql -tA -U postgres -c "SELECT count(*) FROM pg_stat_activity WHERE usename = 'postgres' AND client_addr IS NOT NULL")
[ "$denied" = 0 ] || fail "a service is connected as the superuser"
say "the second up made no key, and no service is a superuser"

# docs/operations.md tells operators to look in these ways.
docker compose exec -T worker /memexport health --json | jq -e '.parts.worker.ready' >/dev/null || fail "the worker does not say that it is ready"
docker compose exec -T s3 wget -q -O - http://worker:9090/metrics | grep ^memexport_exports >/dev/null || fail "the metrics of the worker cannot be read"
say "operators see the state and the metrics of the worker"

docker compose run --rm demo demo --memories 200000 >/dev/null 2>&1
undisturbed=$(create)
ready "$undisturbed"
want=$(digest "$undisturbed")
disturbed=$(create)
crash worker
say "the worker was killed, and is healthy again"
crash api
say "the api was killed, and is healthy again"
ready "$disturbed"
[ "$(digest "$disturbed")" = "$want" ] || fail "the export that was disturbed has another file"
say "the disturbed export has the same bytes"

docker compose down >/dev/null 2>&1
docker compose up --wait >/dev/null 2>&1
[ "$(digest "$disturbed")" = "$want" ] || fail "down and up changed the file"
say "down and up kept the export"
docker compose down --volumes >/dev/null 2>&1
[ -z "$(docker ps -aq --filter label=com.docker.compose.project=memexport)" ] || fail "down left containers"
say "passed"
