#!/usr/bin/env bash
# Runs docker-compose.yml on a machine that reaches no container registry, and walks through it (walk.sh). It
# needs root on Debian. Packages come from Debian, programs from Go modules. It starts its own
# Docker engine in its own namespaces, so no process stays running, and the ports of the machine stay free. Programs,
# images and the build cache stay in the user's cache directory, which makes later runs shorter.
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
state=${XDG_CACHE_HOME:-$HOME/.cache}/memexport/compose
began=$SECONDS
say() { echo "[$((SECONDS - began)) s] $*"; }

# build builds a program. Its arguments are the folder below tools, the package, and the file to write.
build() {
  say "building $(basename "$3")"
  # The flags of internal/workshop/devstack, so that both share the build cache.
  go build -C "$root/tools/$1" -mod=readonly -buildvcs=false -trimpath -ldflags='-s -w' -o "$3" "$2"
}

prepare() {
  local packages=()
  command -v dockerd >/dev/null || packages+=(docker.io)
  command -v docker >/dev/null || packages+=(docker.io)
  command -v debootstrap >/dev/null || packages+=(debootstrap)
  command -v iptables >/dev/null || packages+=(iptables)
  command -v jq >/dev/null || packages+=(jq)
  command -v curl >/dev/null || packages+=(curl)
  if [ ${#packages[@]} -gt 0 ]; then
    say "installing ${packages[*]}"
    apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends "${packages[@]}"
  fi >&2

  # Make a directory for each image, with its Dockerfile from images/ and its programs.
  mkdir -p "$state/config/cli-plugins"
  rm -rf "$state/images"
  cp -a images "$state/images"
  export GOFLAGS=
  build compose github.com/docker/compose/v2/cmd "$state/config/cli-plugins/docker-compose"
  build temporal-server go.temporal.io/server/cmd/server "$state/images/server/temporal-server"
  build temporal-server go.temporal.io/server/cmd/tools/sql "$state/images/admin-tools/temporal-sql-tool"
  build temporal-server github.com/temporalio/ui-server/v2/cmd/server "$state/images/ui/ui-server"
  build temporal github.com/temporalio/cli/cmd/temporal "$state/images/admin-tools/temporal"
  build stores github.com/versity/versitygw/cmd/versitygw "$state/images/versitygw/versitygw"
  local server ui modules
  server=$(go list -C "$root/tools/temporal-server" -m -f '{{.Dir}}' go.temporal.io/server)
  ui=$(go list -C "$root/tools/temporal-server" -m -f '{{.Dir}}' github.com/temporalio/ui-server/v2)
  install -m 0644 "$server/docker/scripts/sh/entrypoint.sh" "$state/images/server/"
  install -m 0644 "$ui/config/docker.yaml" "$state/images/ui/"

  # Copy the Go toolchain, and the service's modules in the layout of a file:// module proxy.
  say "copying the Go toolchain and the modules of the service"
  mkdir "$state/images/golang/modules"
  cp -a "$(go env GOROOT)" "$state/images/golang/go"
  modules=$(go env GOMODCACHE)/cache/download
  go mod download -C "$root" -json | jq -r .Zip | sed "s#^$modules/##" > "$state/files"
  (cd "$modules" && find . -name '*.mod' -o -name '*.info') >> "$state/files"
  tar -C "$modules" -c -T "$state/files" | tar -C "$state/images/golang/modules" -x

  if [ ! -e "$state/debian.tar" ]; then
    say "installing Debian with Postgres into an image"
    rm -rf "$state/debian"
    debootstrap --variant=minbase --include=ca-certificates,netcat-openbsd,postgresql-17,wget trixie "$state/debian" > "$state/debootstrap.log"
    rm -rf "$state"/debian/var/lib/postgresql/17 "$state"/debian/var/cache/apt/archives/*.deb
    tar -C "$state/debian" -cf "$state/debian.tar.new" .
    mv "$state/debian.tar.new" "$state/debian.tar"
    rm -rf "$state/debian"
  fi
}

# start_engine starts dockerd, which ends together with the PID namespace.
start_engine() {
  ip link set lo up
  export DOCKER_HOST=unix://$state/docker.sock DOCKER_CONFIG=$state/config
  rm -rf "$state/exec" "$state/docker.pid"
  # There is no other network, so DNS queries for outside names must fail at once.
  dockerd --host "$DOCKER_HOST" --dns 127.0.0.1 --data-root "$state/data" --exec-root "$state/exec" --pidfile "$state/docker.pid" > "$state/dockerd.log" 2>&1 &
  for _ in $(seq 60); do
    if docker version >/dev/null 2>&1; then return; fi
    sleep 1
  done
  tail -20 "$state/dockerd.log" >&2
  return 1
}

# build_images builds stand-ins for the real images, under the same names.
build_images() {
  docker image inspect standin-debian >/dev/null 2>&1 || docker import "$state/debian.tar" standin-debian >/dev/null
  local name names target
  names=$( (sed -n 's/^ *image: //p' "$root/docker-compose.yml"; sed -n 's/^FROM.* \([^ ]*:[^ ]*\).*/\1/p' "$root/Dockerfile") | sort -u)
  for name in $names; do
    target=${name%%:*}
    target=${target##*/}
    if [ "$target" = memexport ]; then continue; fi
    if [ "$target" = static-debian13 ]; then target=distroless; fi
    say "building a stand-in for $name"
    # The old builder is enough, and newer Docker clients have BuildKit only as a plugin.
    if ! DOCKER_BUILDKIT=0 docker build --tag "$name" "$state/images/$target" > "$state/build.log" 2>&1; then
      cat "$state/build.log" >&2
      return 1
    fi
  done
}

if [ "${1:-}" = inside ]; then
  start_engine
  say "the engine runs: $(docker version --format '{{.Server.Version}}'), $(docker info --format '{{.Driver}}'), $(docker compose version)"
  build_images
  # Remove the containers that a killed run has left.
  docker ps --all --quiet | xargs --no-run-if-empty docker rm --force >/dev/null
  docker volume ls --quiet | xargs --no-run-if-empty docker volume rm >/dev/null
  exec ./walk.sh
fi
mkdir -p "$state"
exec 9> "$state/lock"
flock --nonblock 9 || { say "another run uses $state" >&2; exit 1; }
prepare
say "starting"
exec unshare --net --pid --fork --kill-child --mount --mount-proc "$PWD/run.sh" inside
