#!/bin/sh
# checked.sh BUILD HELPER…: the tests of the module under a Lua with its internal assertions
# and API checks on (LUAI_ASSERT, LUA_USE_APICHECK), so that a misuse of the VM across threads is
# caught, and Lua's own tests inside a green thread.
#
# The source is that of the Lua installed here: GS_LUA_SOURCE, a directory with lua.c or src/lua.c
# (and testes/ for Lua's tests), or Debian's source package, if apt has one.  Exits with 77, and
# says why, without it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

# shellcheck source=tests/lua/debian_source.sh
. "$here/debian_source.sh"

source=${GS_LUA_SOURCE:-}
if [ -z "$source" ]; then
  kept=$build/lua-source
  if ! ls "$kept"/lua5.4_*.orig.tar.* >"$work/apt" 2>&1 && ! (download lua5.4 "$kept" "$work") >"$work/apt" 2>&1; then
    echo "skipped: no source of Lua: GS_LUA_SOURCE is not set, and apt-get source lua5.4 said:"
    tail -n 1 "$work/apt"
    exit 77
  fi
  mkdir "$work/source"
  tar -xf "$(find "$kept" -name 'lua5.4_*.orig.tar.*' | head -n 1)" -C "$work/source" \
    --strip-components=1
  source=$work/source
fi
src=$source
if [ -e "$source/src/lua.c" ]; then src=$source/src; fi

mkdir "$work/lua"
for file in "$src"/*.c; do
  case ${file##*/} in luac.c | onelua.c | ltests.c | print.c) continue ;; esac
  ${CC:-cc} -O1 -g -I"$src" -DLUA_USE_LINUX -DLUA_COMPAT_5_3 -DLUA_USE_APICHECK -DLUAI_ASSERT \
    -c "$file" -o "$work/lua/$(basename "$file" .c).o"
done
${CC:-cc} -rdynamic -o "$work/lua5.4" "$work"/lua/*.o -lm -ldl

LUA_CPATH="$build/lua/?.so;;" LUA_PATH="$here/?.lua;;"
GS_EXPECTED_VERSION=$(cat "$here/../../VERSION")
export LUA_CPATH LUA_PATH GS_EXPECTED_VERSION
for name in module green spare chan sync anywhere hogs during deadlock ffi ffi_errors ffi_types ffi_data ffi_init \
  ffi_calls ffi_callbacks ffi_memory concurrent alive stress; do
  [ -e "$here/$name.lua" ] || continue
  echo "-- $name"
  "$work/lua5.4" "$here/$name.lua" "$@"
done

if [ ! -d "$source/testes" ]; then
  echo "skipped: Lua's own tests are not with the source ($source/testes)"
  exit 0
fi
cd "$source/testes"
# Not here: what is about the program lua (all, main), about memory, locales and the environment
# (big, heavy, verybig, files, attrib), and what asks for something that a green thread is not, the
# main coroutine of its state (coroutine, errors, locals, db).
for name in strings literals tpack utf8 vararg closure events nextvar goto pm sort calls constructs \
  math bitwise code gc gengc bwcoercion cstack; do
  [ -e "$name.lua" ] || continue
  echo "-- Lua's own $name"
  "$work/lua5.4" "$here/official.lua" "$name" >"$work/printed" || {
    cat "$work/printed"
    exit 1
  }
done
