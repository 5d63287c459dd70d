#!/usr/bin/env bash
# Checks that the linter refuses forbidden imports. In a temporary copy of the project, it adds a file with each
# forbidden import to the importing package, and runs depguard once. The arguments are the command that runs
# golangci-lint. Imports that close a cycle are not in the list, because the compiler refuses such imports.
set -euo pipefail
cd "$(dirname "$0")/../.."
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
tar -c --exclude=./.git --exclude=./.dev --exclude=./bin --exclude=./dist --exclude=node_modules . | tar -x -C "$copy"
cd "$copy"

# importing package and imported package
forbidden=(
  "activities internal/cli/progress"
  "api activities"
  "api internal/service/config"
  "bench internal/service/export"
  "chaos internal/service/export"
  "client internal/service/memory"
  "cmd/memexport internal/workshop/devstack"
  "dispatch internal/cli/progress"
  "e2e internal/service/export"
  "erasure api"
  "internal/cli/progress internal/service/export"
  "internal/service/admin internal/service/memory"
  "internal/service/apikey internal/service/memory"
  "internal/service/archive internal/service/apikey"
  "internal/service/attempt internal/service/format"
  "internal/service/audit client"
  "internal/service/config internal/service/memory"
  "internal/service/datarow internal/service/metrics"
  "internal/service/export internal/service/apikey"
  "internal/service/format internal/service/postgres"
  "internal/service/memory internal/workshop/devstack"
  "internal/service/metrics internal/workshop/devstack"
  "internal/service/partwriter internal/cli/progress"
  "internal/service/rowid internal/service/memory"
  "internal/service/telemetry internal/service/postgres"
  "internal/service/temporalclient client"
  "internal/service/token client"
  "internal/workshop/compare client"
  "internal/workshop/benchstack workflows"
  "openapi internal/service/memory"
  "reconcile internal/service/config"
  "tools/clients internal/service/export"
  "worker internal/service/export"
  "workflows internal/service/apikey"
)
probe() { echo "$1/probe_${2//\//_}.go"; } # the file that imports $2 into the package $1

for pair in "${forbidden[@]}"; do
  read -r importer import <<<"$pair"
  package=$(basename "$importer")
  case $importer in cmd/memexport | bench | chaos | tools/*) package=main ;; esac
  printf 'package %s\n\nimport _ "memexport/%s"\n' "$package" "$import" >"$(probe $pair)"
done
report=$("$@" run --enable-only depguard --output.text.print-issued-lines=false ./... 2>&1) || true
allowed=0
for pair in "${forbidden[@]}"; do
  read -r importer import <<<"$pair"
  if ! grep -q "^$(probe $pair):.*'memexport/$import' is not allowed" <<<"$report"; then
    echo "the linter does not refuse that $importer imports $import"
    allowed=1
  fi
done
if [ "$allowed" = 1 ]; then
  echo "$report"
  exit 1
fi
echo "the linter refuses ${#forbidden[@]} forbidden imports"
