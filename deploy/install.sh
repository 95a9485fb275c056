#!/bin/sh
# Installs the dependencies when the lockfile or a package.json is newer than the stamp file $1. Needs Node 20 or newer with npm.
set -eu
cd "$(dirname "$0")/.."
STAMP=$1
PNPM=pnpm@12.21.0
# without a network npm would try for more than a minute
export npm_config_update_notifier=false npm_config_fetch_retry_mintimeout=1000 npm_config_fetch_retry_maxtimeout=5000

fail() { printf '\n%s\n' "$*" >&2; exit 1; }

command -v node >/dev/null 2>&1 || fail 'Node.js is not on PATH: install Node 20 or newer, then run the command again.'
command -v npx >/dev/null 2>&1 || fail 'npm (with npx) is not on PATH: install it (Debian: apt-get install npm), then run the command again.'

# one installation at a time; whoever waited finds the work done
mkdir -p node_modules 2>/dev/null || fail "The folder $(pwd) cannot be written: run as the user that owns it."
if command -v flock >/dev/null 2>&1; then
  exec 9>node_modules/.baton-lock
  flock -n 9 || { echo 'Another installation is under way; waiting for it …'; flock 9; }
fi
newer=$(find pnpm-lock.yaml pnpm-workspace.yaml package.json packages/*/package.json services/*/package.json deploy/embedded/package.json \
  examples/package.json bench/package.json patches/*.patch -newer "$STAMP" 2>/dev/null || true)
if [ -f "$STAMP" ] && [ -z "$newer" ]; then exit 0; fi

explain() { # $1: what could not be done; looks for the usual reasons
  free_kb=$(df -Pk . | awk 'NR == 2 { print $4 }')
  if [ "${free_kb:-0}" -lt 100000 ] || grep -q ENOSPC "$log"; then
    fail "$1: the disk that holds $(pwd) is full ($((free_kb / 1024)) MB free, about 1 GB is needed). Make room, then run the command again."
  fi
  if grep -Eq 'ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ERR_SOCKET_TIMEOUT|fetch failed|META_FETCH_FAIL|error sending request|dns error|Temporary failure resolving|Could not connect|Unable to connect' "$log"; then
    fail "$1: the package registry cannot be reached (is there no network, or a proxy to set?). Run the command again when it can."
  fi
  fail "$1 (see the lines above)."
}

log=$(mktemp "${TMPDIR:-/tmp}/baton-install.XXXXXX")
trap 'rm -f "$log"' EXIT

# Node 26 links libatomic, which a minimal Debian lacks; it has to be there before packages run their scripts with that Node
lib=
bring_libatomic() {
  if [ "$(id -u)" = 0 ]; then
    echo 'Node 26 needs libatomic1; apt-get installs it …'
    { apt-get install -y -qq libatomic1 || { apt-get update -qq && apt-get install -y -qq libatomic1; }; } >"$log" 2>&1 && return
  else
    lib="$(pwd)/node_modules/.baton-lib"
    if [ ! -e "$lib/libatomic.so.1" ]; then
      echo "Node 26 needs libatomic1; apt-get unpacks it into $lib …"
      work=$(mktemp -d)
      mkdir -p "$lib"
      ( cd "$work" && apt-get download libatomic1 && dpkg-deb -x libatomic1*.deb . && find . -name 'libatomic.so*' -exec cp -P {} "$lib/" \; ) >"$log" 2>&1 || true
      rm -rf "$work"
    fi
    LD_LIBRARY_PATH="$lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"; export LD_LIBRARY_PATH
    [ -e "$lib/libatomic.so.1" ] && return
  fi
  cat "$log"
  explain 'libatomic1, which Node 26 needs, could not be brought (as root: apt-get update && apt-get install libatomic1)'
}
has_libatomic() {
  for file in /lib/libatomic.so.1 /lib64/libatomic.so.1 /usr/lib/libatomic.so.1 /usr/lib64/libatomic.so.1 /lib/*/libatomic.so.1 /usr/lib/*/libatomic.so.1; do
    if [ -e "$file" ]; then return 0; fi
  done
  return 1
}
if [ "$(uname -s)" = Linux ] && command -v apt-get >/dev/null 2>&1 && ! has_libatomic; then bring_libatomic; fi

echo "Installing the dependencies into node_modules (the first time takes a minute) …"
rm -f "$STAMP"
status="$log.status"
{ npx --yes "$PNPM" install --frozen-lockfile --config.confirmModulesPurge=false --config.minimumReleaseAge=0 --config.fetchRetryMintimeout=1000 --config.fetchRetryMaxtimeout=5000 2>&1 9>&- || echo $? >"$status"; } | tee "$log"
if [ -f "$status" ]; then rm -f "$status"; explain 'The dependencies could not be installed'; fi

if [ -n "$lib" ] && [ -L node_modules/.bin/node ]; then
  # whoever calls node_modules/.bin/node finds the library that is not installed on this machine
  node=$(readlink -f node_modules/.bin/node)
  rm -f node_modules/.bin/node
  printf '#!/bin/sh\nLD_LIBRARY_PATH="%s${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"; export LD_LIBRARY_PATH\nexec "%s" "$@"\n' "$lib" "$node" >node_modules/.bin/node
  chmod 755 node_modules/.bin/node
fi
node_modules/.bin/node --version >/dev/null 2>"$log" || { cat "$log"; fail 'Node 26 from npm does not run on this machine (see the lines above).'; }
# the command on the PATH of the workspace: as a dependency of the root it would count as one of every package
ln -sf ../../packages/cli/bin/baton.js node_modules/.bin/baton
touch "$STAMP"
