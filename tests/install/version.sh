#!/bin/sh
# There is one version, that of the file VERSION, wherever one asks.
. "$(dirname "$0")/common.sh"

same VERSION "$(cat "$SOURCE/VERSION")" "$VERSION"

c_program >version.c
"$CC" version.c -I"$BUILD/include" -L"$BUILD/lib" -lgosched -o version
LD_LIBRARY_PATH=$BUILD/lib ./version >versions
read -r header library number <versions
same GS_VERSION "$header" "$VERSION"
same 'gs_version()' "$library" "$VERSION"
same GS_VERSION_NUMBER "$number" "$(awk -F. '{ print $1 * 10000 + $2 * 100 + $3 }' "$SOURCE/VERSION")"
same 'pkg-config --modversion' \
  "$(PKG_CONFIG_PATH=$BUILD/lib/pkgconfig pkg-config --modversion gosched)" "$VERSION"

same gosched-top "$("$BUILD/bin/gosched-top" --version)" "gosched-top $VERSION"

if built python python/gosched; then
  same __version__ \
    "$(PYTHONPATH=$BUILD/python "$PYTHON" -c 'import gosched; print(gosched.__version__)')" \
    "$VERSION"
fi
if built lua lua/gosched.so; then
  same _VERSION \
    "$(LUA_CPATH="$BUILD/lua/?.so" lua5.4 -e 'print((require "gosched")._VERSION)')" "$VERSION"
fi
if built tcl tcl/gosched/pkgIndex.tcl; then
  same 'package require' \
    "$(echo 'puts [package require gosched]' | TCLLIBPATH="{$BUILD/tcl}" tclsh)" "$VERSION"
fi
