#!/bin/sh
# Dumps the database into BACKUP_FOLDER and keeps the newest BACKUPS_KEPT dumps. The database is that of DATABASE_DIRECT_URL, beside a pooler, else
# that of DATABASE_URL; each may be the path of a file (DATABASE_DIRECT_URL_FILE, DATABASE_URL_FILE) that holds it, and an empty one is none.
# Postgres is the truth: Redis needs no backup. The master key is not in the dump: keep /etc/baton/secrets elsewhere, apart from the dumps.
set -eu
direct=${DATABASE_DIRECT_URL:-}
[ -n "$direct" ] || [ -z "${DATABASE_DIRECT_URL_FILE:-}" ] || direct=$(cat "$DATABASE_DIRECT_URL_FILE")
url=${direct:-${DATABASE_URL:-$(cat "$DATABASE_URL_FILE")}}
case ${direct:+server}${DATABASE_POOLER:-}$url in # pg_dump changes its session, and a pooler would hand that on to the services
  transaction*|*[?\&]pgbouncer=true*)
    echo 'DATABASE_URL leads through a pooler in transaction mode: name the server itself in DATABASE_DIRECT_URL' >&2; exit 1 ;;
esac
# ours alone, as libpq refuses what it does not know
url=$(printf %s "$url" | sed -E 's#([?&])pgbouncer=[a-z]*(&|$)#\1#; s#[?&]$##')
# as an argument the password would be in the list of processes
password=$(printf %s "$url" | sed -nE 's#^[a-z]+://[^:/@]*:([^@]*)@.*#\1#p')
case $password in *%*) echo 'the password in the URL of the database is percent-encoded: give it to pg_dump by PGPASSFILE, and leave it out of the URL' >&2; exit 1 ;; esac
[ -z "$password" ] || export PGPASSWORD="$password"
url=$(printf %s "$url" | sed -E 's#^([a-z]+://[^:/@]*):[^@]*@#\1@#')
# where the URL says nothing of TLS, as for the services
[ -z "${DATABASE_TLS_CA_FILE:-}" ] || export PGSSLROOTCERT="$DATABASE_TLS_CA_FILE" PGSSLMODE=verify-full
folder=${BACKUP_FOLDER:?where the dumps go}
kept=${BACKUPS_KEPT:-14}
name="baton-$(date -u +%Y%m%dT%H%M%SZ).dump"
# written under another name first, so that a dump that was cut off is never taken for a whole one
trap 'rm -f "$folder/.$name"' EXIT
PGCONNECT_TIMEOUT=10 pg_dump --format=custom --no-owner --file="$folder/.$name" "$url"
pg_restore --list "$folder/.$name" >/dev/null
mv "$folder/.$name" "$folder/$name"
ls -1 "$folder" | grep '^baton-[0-9TZ]*\.dump$' | sort -r | tail -n "+$((kept + 1))" | while read -r old; do rm -f "$folder/$old"; done
echo "$folder/$name"
