# shellcheck shell=sh
# How ./dev talks: one line per step with its time, everything else in build/logs/.  A step that
# fails shows the end of its log and what to do.  Lines go to file descriptor 3, so that a command
# whose standard output belongs to somebody else (./dev exec) can send them elsewhere; with GS_QUIET
# set, steps that succeed are not worth a line.

exec 3>&1
GS_LOGS=$GS_ROOT/build/logs
GS_NOTES=
GS_QUIET=

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ] && [ "${TERM:-dumb}" != dumb ]; then
  c_bold=$(printf '\033[1m') c_red=$(printf '\033[31m')
  c_dim=$(printf '\033[2m') c_off=$(printf '\033[0m')
else
  c_bold='' c_red='' c_dim='' c_off=''
fi

say() { printf '%s\n' "$*" >&3; }

# A thing that is not as it could be, told when it is found and again at the end of ./dev test.
note() {
  say "  ${c_bold}note:${c_off} $*"
  GS_NOTES="$GS_NOTES$*
"
}

die() {
  printf '%s\n' "${c_red}./dev:${c_off} $*" >&2
  exit 1
}

usage_error() {
  printf '%s\n' "./dev: $*" "See ./dev help." >&2
  exit 2
}

# elapsed START: the seconds since START (of `date +%s`), as a person says them.
elapsed() {
  gs_seconds=$(($(date +%s) - $1))
  if [ "$gs_seconds" -ge 60 ]; then
    printf '%d min %02d s' $((gs_seconds / 60)) $((gs_seconds % 60))
  else
    printf '%d s' "$gs_seconds"
  fi
}

# step NAME CMD…: runs CMD with its output in build/logs/NAME.log.  Returns CMD's status; the
# caller decides whether that ends everything.
step() {
  gs_step=$1
  shift
  mkdir -p "$GS_LOGS"
  gs_log=$GS_LOGS/$(printf '%s' "$gs_step" | tr -c 'A-Za-z0-9._-' '-').log
  gs_start=$(date +%s)
  [ -n "$GS_QUIET" ] || [ ! -t 3 ] || printf '  %-24s …' "$gs_step" >&3
  gs_status=0
  "$@" >"$gs_log" 2>&1 </dev/null || gs_status=$?
  [ -n "$GS_QUIET" ] || [ ! -t 3 ] || printf '\r' >&3
  if [ "$gs_status" -eq 0 ]; then
    [ -n "$GS_QUIET" ] || printf '  %-24s %s\n' "$gs_step" "$(elapsed "$gs_start")" >&3
  else
    printf '  %-24s %s\n' "$gs_step" \
      "${c_red}failed${c_off} after $(elapsed "$gs_start"), log: ${gs_log#"$GS_ROOT/"}" >&3
  fi
  return "$gs_status"
}

# show_log [LINES]: the end of the last step's log.
show_log() {
  tail -n "${1:-30}" "$gs_log" | sed "s/^/  ${c_dim}|${c_off} /" >&3
}

# must NAME CMD…: a step without which there is no point in going on.
must() {
  if ! step "$@"; then
    show_log
    die "the step '$1' failed; its whole log is ${gs_log#"$GS_ROOT/"}"
  fi
}
