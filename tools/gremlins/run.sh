#!/usr/bin/env bash
# Changes the code in small ways, and lists the changes that no test of the package notices. MUTATE chooses packages
# and files, such as MUTATE="activities internal/service/export/parts.go". A change is made in a copy, never in this
# directory.
set -euo pipefail
cd "$(dirname "$0")/../.."
# The tests of the other files of the archive need servers: make test-stores.
targets=${MUTATE:-internal/service/format workflows internal/service/export internal/service/memory activities internal/service/archive/file.go internal/service/archive/digest.go}
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT
chmod 755 "$temporary" # if root runs the tests, Postgres runs as another user
"${GO:-go}" build -modfile=tools/gremlins/go.mod -o "$temporary/gremlins" github.com/go-gremlins/gremlins/cmd/gremlins
REAL_GO=$(command -v "${GO:-go}")
export REAL_GO TMPDIR=$temporary
# -count=1, because gremlins derives its time-out from the time of the first run. What vet notices is not noticed by a
# test. The model needs few cases, because the other tests notice most changes.
export GOFLAGS="-tags=disable_grpc_modules -vet=off -ldflags=-w -count=1" RAPID_CHECKS=20 RAPID_NOFAILFILE=true
ulimit -v $((8 << 20)) || true # KiB; a changed loop can fill the memory of the machine
export PATH=$PWD/tools/gremlins/bin:$PATH # gremlins calls go, and gets the script there
for target in $targets; do
	package=$target exclude=()
	if [[ $target == *.go ]]; then
		package=$(dirname "$target")
		for file in "$package"/*.go; do
			[ "$file" = "$target" ] || exclude+=(--exclude-files "^$(basename "$file")\$")
		done
	fi
	echo "== $target"
	# -json, because it says how long each test took. A slow one takes more than a second.
	SLOW_TESTS=$("$REAL_GO" test -json "./$package" |
		sed -nE 's/.*"Action":"pass".*"Test":"([^"\/]+)","Elapsed":([1-9][0-9]*)(\..*)?}$/\1/p' | paste -sd '|' -) || {
		echo "the tests of $package fail without a change: run go test ./$package" >&2
		exit 1
	}
	export SLOW_TESTS=${SLOW_TESTS:+"^($SLOW_TESTS)\$"}
	# The coefficient multiplies the time that the tests took at first. The machine may become busier later.
	"$temporary/gremlins" unleash --workers "${MUTATE_WORKERS:-1}" --timeout-coefficient 5 --invert-logical "${exclude[@]}" "./$package"
done
