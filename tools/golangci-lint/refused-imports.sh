#!/usr/bin/env bash
# Checks that the linter rejects forbidden imports. For each one, it writes a file with this import
# into the importing folder. It runs depguard once on all of them and then deletes the files. The
# arguments are the command that runs golangci-lint. Imports that would close a cycle are not
# listed, because the compiler rejects them.
set -euo pipefail
cd "$(dirname "$0")/../.."

# importing folder and imported folder
forbidden=(
  "activities internal/cli/progress"
  "api activities"
  "api internal/service/config"
  "client internal/service/memory"
  "cmd/memexport internal/workshop/devstack"
  "e2e internal/service/export"
  "internal/cli/progress internal/service/export"
  "internal/service/apikey internal/service/memory"
  "internal/service/archive internal/service/apikey"
  "internal/service/attempt internal/service/format"
  "internal/service/config internal/service/memory"
  "internal/service/export internal/service/apikey"
  "internal/service/format internal/service/postgres"
  "internal/service/memory internal/workshop/devstack"
  "internal/service/partwriter internal/cli/progress"
  "internal/service/rowid internal/service/memory"
  "internal/service/telemetry client"
  "openapi internal/service/memory"
  "reconcile internal/service/config"
  "worker internal/service/export"
  "workflows internal/service/apikey"
)
probe() { echo "$1/probe_${2//\//_}.go"; } # the file for a room and an import
remove() { for pair in "${forbidden[@]}"; do rm -f "$(probe $pair)"; done; }
trap remove EXIT

for pair in "${forbidden[@]}"; do
  read -r room import <<<"$pair"
  package=$(basename "$room")
  if [ "$room" = cmd/memexport ]; then package=main; fi
  printf 'package %s\n\nimport _ "memexport/%s"\n' "$package" "$import" >"$(probe $pair)"
done
report=$("$@" run --enable-only depguard --output.text.print-issued-lines=false ./... 2>&1) || true
allowed=0
for pair in "${forbidden[@]}"; do
  read -r room import <<<"$pair"
  if ! grep -q "^$(probe $pair):.*'memexport/$import' is not allowed" <<<"$report"; then
    echo "the linter does not refuse that $room imports $import"
    allowed=1
  fi
done
if [ "$allowed" = 1 ]; then
  echo "$report"
  exit 1
fi
echo "the linter refuses ${#forbidden[@]} forbidden imports"
