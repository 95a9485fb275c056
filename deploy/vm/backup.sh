#!/bin/sh
# Dumps the database of DATABASE_URL (or of the file DATABASE_URL_FILE) into BACKUP_FOLDER and keeps the newest BACKUPS_KEPT dumps.
# Postgres is the truth: Redis needs no backup. The master key is not in the dump: keep /etc/baton/secrets elsewhere, apart from the dumps.
set -eu
url=${DATABASE_URL:-$(cat "$DATABASE_URL_FILE")}
# as an argument the password would be in the list of processes
password=$(printf %s "$url" | sed -nE 's#^[a-z]+://[^:/@]*:([^@]*)@.*#\1#p')
case $password in *%*) echo 'the password in DATABASE_URL is percent-encoded: give it to pg_dump by PGPASSFILE, and leave it out of the URL' >&2; exit 1 ;; esac
[ -z "$password" ] || export PGPASSWORD="$password"
url=$(printf %s "$url" | sed -E 's#^([a-z]+://[^:/@]*):[^@]*@#\1@#')
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
