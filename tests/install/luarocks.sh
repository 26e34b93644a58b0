#!/bin/sh
# luarocks builds and installs the rock from the tree, and leaves the tree as it is.
. "$(dirname "$0")/common.sh"
built lua lua/gosched.so || exit 77
if ! command -v luarocks >/dev/null; then
  echo "not tested: there is no luarocks here (Debian's package luarocks has it)"
  exit 77
fi

# A copy: it builds below the directory in which it is run.
mkdir tree
(cd "$SOURCE" && tar -cf - --exclude=./build --exclude='./.[!.]*' .) | tar -xf - -C tree
rockspec=$(cd tree && ls ./*.rockspec)
same rockspec "$rockspec" "./gosched-$VERSION-1.rockspec"

(cd tree && luarocks --lua-version 5.4 make --tree "$scratch/rocks" "$rockspec") >luarocks.log 2>&1 || {
  tail -n 30 luarocks.log
  fail "luarocks make"
}
lua_program >main.lua
eval "$(luarocks --lua-version 5.4 path --tree "$scratch/rocks" --no-bin)"
same "from the rock" "$(lua5.4 main.lua)" "$VERSION"
luarocks --lua-version 5.4 remove --tree "$scratch/rocks" gosched >luarocks.log 2>&1 ||
  fail "luarocks remove: $(tail -n 3 luarocks.log)"
left=$(find "$scratch/rocks" -name '*gosched*' | head -n 3)
[ -z "$left" ] || fail "luarocks remove has left $left"
