# shellcheck shell=sh
# Configuring and building a preset, and the environment in which programs find what was built.

GS_JOBS=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)

# set_up_build [GROUP…]: what building needs, with each binding's needs if they can be had.  The
# packages of the groups named are installed in the same go.
set_up_build() {
  install_groups build lua tcl python "$@"
  need_build_tools
  need_or_say lua "the Lua binding is"
  need_or_say tcl "the Tcl binding is"
  need_python run || note "the Python binding is left out"
}

GS_TARGETS= # what to build, if not everything

# build PRESET [CMAKE ARGUMENT…]: configures if need be and builds; the tree is GS_BUILD.
build() {
  gs_preset=$1
  shift
  GS_BUILD=$GS_ROOT/build/$gs_preset$GS_PY_SUFFIX
  if [ -n "$GS_PY" ]; then
    set -- "$@" "-DGS_PYTHON_EXECUTABLE=$GS_PY"
  else
    set -- "$@" -DGS_PYTHON=OFF
  fi
  # What CMake was last told here; told the same again, the build alone finds out what changed.
  if [ ! -e "$GS_BUILD/build.ninja" ] || [ ! -e "$GS_BUILD/CMakeCache.txt" ] ||
    [ "$(cat "$GS_BUILD/.configured" 2>/dev/null)" != "$*" ]; then
    must "configure $gs_preset$GS_PY_SUFFIX" cmake --preset "$gs_preset" -B "$GS_BUILD" "$@"
    printf '%s\n' "$*" >"$GS_BUILD/.configured"
  fi
  # The list is one word a target.
  # shellcheck disable=SC2086
  must "build $gs_preset$GS_PY_SUFFIX" cmake --build "$GS_BUILD" --parallel "$GS_JOBS" \
    ${GS_TARGETS:+--target $GS_TARGETS}
}

# What the build left out, each said once.
say_left_out() {
  while read -r gs_line; do
    case $gs_line in
      *" is OFF") ;;
      *) note "left out: $gs_line" ;;
    esac
  done <"$GS_BUILD/left-out.txt"
}

# prepend VARIABLE VALUE: as PATH is built.
prepend() {
  eval "gs_old=\${$1:-}"
  # shellcheck disable=SC2154
  eval "export $1=\"\$2\${gs_old:+:\$gs_old}\""
}

# Makes programs started from here find the build tree first.
use_build() {
  [ -z "$GS_PY" ] || prepend PATH "${GS_PY%/*}"
  prepend LD_LIBRARY_PATH "$GS_BUILD/lib"
  prepend PYTHONPATH "$GS_BUILD/python"
  prepend PKG_CONFIG_PATH "$GS_BUILD/lib/pkgconfig"
  prepend CPATH "$GS_BUILD/include"
  prepend LIBRARY_PATH "$GS_BUILD/lib"
  export LUA_CPATH="$GS_BUILD/lua/?.so;${LUA_CPATH:-;}"
  # Tcl reads its path as a list: in braces a path may contain spaces.
  export TCLLIBPATH="{$GS_BUILD/tcl}${TCLLIBPATH:+ $TCLLIBPATH}"
  # pkg-config drops directories that CPATH and LIBRARY_PATH have; whoever keeps its answer for
  # later needs them.
  export PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 PKG_CONFIG_ALLOW_SYSTEM_LIBS=1
  export GOSCHED_BUILD="$GS_BUILD"
}
