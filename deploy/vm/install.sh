#!/bin/sh
# Puts a built checkout onto this machine: sh deploy/vm/install.sh (as root, after `make install && node deploy/bundle.ts`).
# /opt/baton/<version> is new at each call, /opt/baton/current points at it; secrets that are missing are made, none is ever replaced.
# DESTDIR puts everything below another folder, for packages and tests.
set -eu
umask 022
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
dest=${DESTDIR:-}
version=${BATON_VERSION:-$(date -u +%Y%m%dT%H%M%SZ)}
target="$dest/opt/baton/$version"
services='orchestrator workflow-runner http-worker hitl-worker agent-runner fanout'

for service in $services; do
  [ -f "$root/services/$service/dist/app/main.js" ] || { echo "services/$service is not built: node deploy/bundle.ts" >&2; exit 1; }
done
[ ! -e "$target" ] || { echo "$target is there already: set BATON_VERSION to another name" >&2; exit 1; }

if [ -z "$dest" ]; then
  id baton >/dev/null 2>&1 || useradd --system --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin baton
fi

mkdir -p "$target/vm" "$target/docs"
# the Node that the checkout was tested with
install -m 755 "$("$root/node_modules/.bin/node" --print process.execPath)" "$target/node"
for service in $services; do
  mkdir -p "$target/$service"
  cp -R "$root/services/$service/dist/." "$target/$service/"
done
install -m 755 "$here/backup.sh" "$target/vm/backup.sh"
install -m 644 "$root/docs/deploy/single-vm.md" "$target/docs/single-vm.md"

units="$dest/etc/systemd/system"
mkdir -p "$units"
for unit in baton.service baton@.service baton-backup.service baton-backup.timer; do install -m 644 "$here/$unit" "$units/$unit"; done
for drop in "$here"/baton@*.service.d; do
  mkdir -p "$units/$(basename "$drop")"
  install -m 644 "$drop/service.conf" "$units/$(basename "$drop")/service.conf"
done

secrets="$dest/etc/baton/secrets"
mkdir -p "$secrets" "$dest/var/backups/baton"
chmod 700 "$secrets" "$dest/var/backups/baton"
secret() { # secret <name> <command …>: made once
  name=$1; shift
  [ -e "$secrets/$name" ] || ( umask 077; "$@" >"$secrets/$name" )
}
random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
secret BATON_ADMIN_KEY random
secret BATON_MASTER_KEY random
secret AGENT_PROVIDERS printf '{}'
secret POSTGRES_PASSWORD printf %s "$(random)"
secret REDIS_PASSWORD printf %s "$(random)"
secret DATABASE_URL printf 'postgres://baton:%s@127.0.0.1:5432/baton' "$(cat "$secrets/POSTGRES_PASSWORD")"
secret DATABASE_DIRECT_URL true # empty: there is no pooler
secret REDIS_URL printf 'redis://:%s@127.0.0.1:6379/0' "$(cat "$secrets/REDIS_PASSWORD")"
[ -e "$dest/etc/baton/baton.env" ] || printf '# Settings of all services, NAME=value; <name>.env beside it for one of them. No secrets here.\n' >"$dest/etc/baton/baton.env"

ln -sfn "$version" "$dest/opt/baton/.next"
mv -T "$dest/opt/baton/.next" "$dest/opt/baton/current" # at once: a process that starts meanwhile sees the old or the new one
[ -n "$dest" ] || { chown baton:baton /var/backups/baton; systemctl daemon-reload; }
echo "$version is installed. Next: systemctl enable --now baton baton-backup.timer, or systemctl restart baton after an upgrade"
