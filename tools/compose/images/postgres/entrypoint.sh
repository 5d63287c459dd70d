#!/bin/bash
# Starts Postgres as the official image does: the first time, it creates the data directory, the database
# POSTGRES_DB and a superuser with POSTGRES_PASSWORD, and runs the files in /docker-entrypoint-initdb.d while the
# server listens on a socket only.
set -eu
if [ "$(id -u)" = 0 ]; then
  mkdir -p "$PGDATA" /var/run/postgresql
  chown postgres:postgres "$PGDATA" /var/run/postgresql
  chmod 700 "$PGDATA"
  exec setpriv --reuid postgres --regid postgres --init-groups "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  initdb --username postgres --pwfile <(echo "$POSTGRES_PASSWORD") --auth-local trust --auth-host scram-sha-256
  echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
  pg_ctl --wait --options "-c listen_addresses=''" start
  createdb --username postgres "$POSTGRES_DB"
  for file in /docker-entrypoint-initdb.d/*.sql; do
    psql -v ON_ERROR_STOP=1 --no-psqlrc --username postgres --dbname "$POSTGRES_DB" --file "$file"
  done
  pg_ctl --wait --mode fast stop
fi
exec "${@:-postgres}" -c 'listen_addresses=*'
