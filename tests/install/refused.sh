#!/bin/sh
# A Python that gosched cannot work with is refused before anything is compiled, with the reason.
. "$(dirname "$0")/common.sh"
built python python/gosched || exit 77

# refused SETUP WORDS: with SETUP, Python code run before all else, the build is refused so.
refused() {
  mkdir -p site
  printf 'import sys, sysconfig\n%s\n' "$1" >site/sitecustomize.py
  if PYTHONPATH=$scratch/site cmake -S "$SOURCE" -B tree -G Ninja -DCMAKE_C_COMPILER="$CC" \
    -DGS_PYTHON=ON -DGS_PYTHON_EXECUTABLE="$PYTHON" -DGS_LUA=OFF -DGS_TCL=OFF -DGS_TESTS=OFF \
    >cmake.log 2>&1; then
    fail "nothing was said with $1"
  fi
  tr -s ' \n' ' ' <cmake.log | grep -q "$2" || fail "with $1: $(cat cmake.log)"
  printf 'refused: %s\n' "$2"
}

refused "sysconfig.get_config_vars()['Py_GIL_DISABLED'] = 1" \
  "free-threaded builds and other implementations are not supported"
refused "sys.implementation.name = 'pypy'" \
  "free-threaded builds and other implementations are not supported"
