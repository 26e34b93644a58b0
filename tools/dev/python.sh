# shellcheck shell=sh
# Which Python is built for, and its virtual environment.
#
# The default is python3 on PATH if it can be used (CPython 3.10 to 3.14 with its headers), else
# Debian's own, installed if need be.  Its environment is .venv; with --python X it is
# .venv-<version>.  What is in them is pinned with hashes by requirements/<group>.txt.
# A stamp per group, made of the lock file and the interpreter, tells that nothing is to be done.

GS_WANT_PYTHON=${GS_WANT_PYTHON:-}
GS_PY=          # the environment's python; empty: there is none, and GS_PY_WHY says why
GS_PY_WHY=
GS_PY_SUFFIX=   # what build directories of this Python are called beyond the preset's name

# usable_python CMD: prints "VERSION EXECUTABLE" if it can be built for, else says why not on
# standard error.
usable_python() {
  "$1" -c '
import os, sys, sysconfig

version = "%d.%d" % sys.version_info[:2]
base = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
header = os.path.join(sysconfig.get_path("include"), "Python.h")
try:
    import ensurepip, venv
except ImportError:
    sys.exit(base + " has no module venv (Debian: python3-venv)")
if sys.implementation.name != "cpython" or not (3, 10) <= sys.version_info[:2] <= (3, 14):
    sys.exit("%s is %s %s; CPython 3.10 to 3.14 is needed"
             % (base, sys.implementation.name, version))
if sysconfig.get_config_var("Py_GIL_DISABLED"):
    sys.exit(base + " is a free-threaded build, which is not supported")
if not os.path.exists(header):
    sys.exit("%s has no headers (%s is missing; Debian: python3-dev)" % (base, header))
print(version, base)
'
}

# find_python WANTED: prints "VERSION EXECUTABLE"; WANTED is empty, a version, a name or a path.
find_python() {
  case $1 in
    '')
      usable_python python3 2>/dev/null || usable_python /usr/bin/python3
      ;;
    [0-9].[0-9]*)
      for gs_candidate in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1"*/bin/python3; do
        command -v "$gs_candidate" >/dev/null 2>&1 || continue
        usable_python "$gs_candidate" 2>/dev/null && return 0
      done
      echo "no usable Python $1 on PATH (as python$1) or under pyenv" >&2
      return 1
      ;;
    *)
      command -v "$1" >/dev/null 2>&1 || { echo "there is no program $1" >&2 && return 1; }
      usable_python "$1"
      ;;
  esac
}

# choose_python [WANTED]: sets GS_PY_BASE (the interpreter), GS_VENV and GS_PY_SUFFIX.
choose_python() {
  # An environment that is there and whose interpreter still exists has been chosen before.
  if [ -z "$1" ] && [ -x .venv/bin/python ] && [ -e .venv/.base ]; then
    GS_VENV=.venv GS_PY_SUFFIX='' GS_PY_BASE=$(cat .venv/.base)
    return 0
  fi
  mkdir -p "$GS_LOGS"
  gs_found=$(find_python "$1" 2>"$GS_LOGS/python.log") || {
    if [ -n "$1" ]; then
      die "--python $1: $(tail -n 1 "$GS_LOGS/python.log")"
    fi
    install_packages python3-dev python3-venv
    gs_found=$(find_python "" 2>"$GS_LOGS/python.log") || {
      GS_PY_WHY=$(tail -n 1 "$GS_LOGS/python.log")
      return 1
    }
  }
  GS_PY_BASE=${gs_found#* }
  if [ -z "$1" ] || [ "$(cat .venv/.base 2>/dev/null)" = "$GS_PY_BASE" ]; then
    GS_VENV=.venv GS_PY_SUFFIX=''
  else
    GS_VENV=.venv-${gs_found%% *} GS_PY_SUFFIX=-py${gs_found%% *}
  fi
}

make_venv() {
  rm -rf "$GS_VENV"
  "$GS_PY_BASE" -m venv "$GS_VENV" && printf '%s\n' "$GS_PY_BASE" >"$GS_VENV/.base"
}

# Build trees that were configured for another interpreter at the same place.
forget_build_trees() {
  for gs_cache in build/*/CMakeCache.txt; do
    [ ! -e "$gs_cache" ] || ! grep -q "=$GS_ROOT/$GS_VENV/bin/" "$gs_cache" || rm -f "$gs_cache"
  done
}

pip_install() {
  "$GS_VENV/bin/python" -m pip install --disable-pip-version-check --no-input --require-hashes \
    -r "requirements/$1.txt" && cp "requirements/$1.txt" "$GS_VENV/.$1"
}

# need_python GROUP…: makes the environment hold what the groups name.  Without a usable Python,
# or without a way to get the packages, GS_PY is empty and GS_PY_WHY says why.
need_python() {
  choose_python "$GS_WANT_PYTHON" || {
    note "no Python: $GS_PY_WHY"
    return 1
  }
  if [ ! -x "$GS_VENV/bin/python" ] || [ "$(cat "$GS_VENV/.base" 2>/dev/null)" != "$GS_PY_BASE" ]
  then
    forget_build_trees
    if ! step "python environment" make_venv; then
      GS_PY_WHY="a virtual environment of $GS_PY_BASE cannot be made, see ${gs_log#"$GS_ROOT/"}"
      note "no Python: $GS_PY_WHY"
      return 1
    fi
  fi
  for gs_group in "$@"; do
    cmp -s "requirements/$gs_group.txt" "$GS_VENV/.$gs_group" && continue
    if ! step "python packages: $gs_group" pip_install "$gs_group"; then
      GS_PY_WHY="the packages of requirements/$gs_group.txt cannot be installed, see ${gs_log#"$GS_ROOT/"}"
      note "no Python: $GS_PY_WHY"
      return 1
    fi
  done
  GS_PY=$GS_ROOT/$GS_VENV/bin/python
}
