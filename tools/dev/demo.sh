# shellcheck shell=sh
# ./dev demo [--postgres] […]: the main job on real input; arguments go to examples/demo.py.
# ./dev demo polyglot […]: Python, Lua and Tcl in one process; to examples/polyglot/polyglot.py.

dev_demo() {
  gs_postgres='' gs_program=examples/demo.py
  for gs_argument in "$@"; do
    [ "$gs_argument" != --postgres ] || gs_postgres=postgres
  done
  # The group is nothing, or one word.
  # shellcheck disable=SC2086
  set_up_build demo $gs_postgres
  need_or_say demo "the SQLite and zlib parts of the demo are"
  [ -z "$gs_postgres" ] || need_or_say postgres "the PostgreSQL part of the demo is"
  [ -n "$GS_PY" ] || die "the demo is a Python program, and there is no Python: $GS_PY_WHY"
  build release
  say_left_out
  use_build
  if [ "${1:-}" = polyglot ]; then
    shift
    gs_program=examples/polyglot/polyglot.py
    set -- --picture "$GS_BUILD/polyglot.svg" "$@"
  fi
  cd "$GS_CALLED_FROM"
  exec "$GS_PY" "$GS_ROOT/$gs_program" "$@"
}
