#!/bin/sh
# Installed into a prefix, every language works away from the tree, told only where the prefix is.
. "$(dirname "$0")/common.sh"
install_into "$prefix"

c_program >main.c
"$CC" main.c -I"$prefix/include" -L"$prefix/$LIBDIR" -lgosched -Wl,-rpath,"$prefix/$LIBDIR" -o main
same C "$(./main)" "$VERSION $VERSION $(./main | cut -d ' ' -f 3)"

if built python python/gosched; then
  python_program >main.py
  same Python "$(PYTHONPATH=$prefix/$PYTHON_DIR "$PYTHON" main.py)" "$VERSION"
fi
if built lua lua/gosched.so; then
  lua_program >main.lua
  same Lua "$(LUA_CPATH="$prefix/$LUA_DIR/?.so" lua5.4 main.lua)" "$VERSION"
fi
if built tcl tcl/gosched/libtclgosched.so; then
  tcl_program >main.tcl
  same Tcl "$(TCLLIBPATH="{$prefix/${TCL_DIR%/*}}" tclsh main.tcl)" "$VERSION"
fi
if [ -e "$BUILD/tcl/gosched/libtcl9gosched.so" ] && command -v tclsh9.0 >/dev/null; then
  tcl_program >main.tcl
  same "Tcl 9" "$(TCLLIBPATH="{$prefix/${TCL_DIR%/*}}" tclsh9.0 main.tcl)" "$VERSION"
fi

# Each of them hosts the others; guests find their bindings in the prefix by themselves.
# (Lists of words.)
# shellcheck disable=SC2046
if [ "$(guests)" = "lua tcl python " ]; then
  export GOSCHED_PYTHON="$PYTHON"
  embed_c_program >embed.c
  "$CC" embed.c -I"$prefix/include" -L"$prefix/$LIBDIR" -lgosched -Wl,-rpath,"$prefix/$LIBDIR" \
    -o embed
  same "C hosts" "$(./embed lua tcl python)" "$(said lua tcl python)"
  embed_python_program >embed.py
  same "Python hosts" "$(PYTHONPATH=$prefix/$PYTHON_DIR "$PYTHON" embed.py lua tcl)" "$(said lua tcl)"
  embed_lua_program >embed.lua
  same "Lua hosts" "$(LUA_CPATH="$prefix/$LUA_DIR/?.so" lua5.4 embed.lua tcl python)" \
    "$(said tcl python)"
  embed_tcl_program >embed.tcl
  same "Tcl hosts" "$(TCLLIBPATH="{$prefix/${TCL_DIR%/*}}" tclsh embed.tcl lua python)" \
    "$(said lua python)"
else
  echo "guests are not tested: this build has only these: $(guests)"
fi

# A module that found its library in the build tree would not prove anything.
for module in "$prefix/$PYTHON_DIR"/gosched/*.so "$prefix/$LUA_DIR"/*.so "$prefix/$TCL_DIR"/*.so \
  "$prefix/$LIBDIR"/gosched/*.so; do
  [ -e "$module" ] || continue
  used=$(ldd "$module" | sed -n 's/.*libgosched.so.* => \(.*\) (.*/\1/p')
  case $used in
    '' | "$prefix"/*) ;;
    *) fail "$module uses $used" ;;
  esac
  case $(readelf -d "$module") in
    *"$BUILD"*) fail "$module has the build tree in its search path" ;;
  esac
done
