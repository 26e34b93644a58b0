# shellcheck shell=sh
# ./dev exec CMD…: standard output is CMD's alone; what there is to say goes to standard error.

dev_exec() {
  [ $# -gt 0 ] || usage_error "exec needs a command to run"
  exec 3>&2
  # A build that has nothing to do is not worth a line.
  [ ! -e build/release/build.ninja ] || GS_QUIET=1
  set_up_build
  build release
  use_build
  exec 3>&-
  cd "$GS_CALLED_FROM"
  exec "$@"
}
