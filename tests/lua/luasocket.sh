#!/bin/sh
# luasocket.sh BUILD LUA: luasocket's own test client and server over gosched.socket.
#
# They are in the source of luasocket: GS_LUASOCKET_SOURCE, a directory with test/testclnt.lua, or
# Debian's source package lua-socket, if apt has one.  Exits with 77, and says why, without it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=$1
lua=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

# shellcheck source=tests/lua/debian_source.sh
. "$here/debian_source.sh"

LUA_CPATH="$build/lua/?.so;;"
export LUA_CPATH
if ! "$lua" -e 'require "socket"' >"$work/said" 2>&1; then
  echo "skipped: luasocket is not installed (Debian: lua-socket)"
  exit 77
fi
source=${GS_LUASOCKET_SOURCE:-}
if [ -z "$source" ]; then
  kept=$build/luasocket-source
  # Debian's own changes are not needed, and are not always there.
  if ! ls "$kept"/luasocket_*.orig.tar.* >"$work/said" 2>&1; then
    (download lua-socket "$kept" "$work") >"$work/said" 2>&1 || true
  fi
  archive=$(find "$kept" -name 'luasocket_*.orig.tar.*' 2>/dev/null | head -n 1)
  if [ -z "$archive" ]; then
    echo "skipped: no source of luasocket: GS_LUASOCKET_SOURCE is not set, and apt-get source said:"
    tail -n 1 "$work/said"
    exit 77
  fi
  mkdir "$work/source"
  tar -xf "$archive" -C "$work/source" --strip-components=1
  source=$work/source
fi
"$lua" "$here/luasocket.lua" "$source/test"
