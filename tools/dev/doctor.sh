# shellcheck shell=sh
# ./dev doctor: what this machine has and lacks.  Changes nothing.

# row WHAT VALUE…
row() {
  gs_what=$1
  shift
  printf '  %-18s %s\n' "$gs_what" "$*"
}

# program LABEL CMD [ARGUMENT…]: the first line of its version.
program() {
  gs_label=$1
  shift
  if command -v "$1" >/dev/null 2>&1; then
    row "$gs_label" "$("$@" 2>&1 </dev/null | head -n 1)"
  else
    row "$gs_label" "${c_red}missing${c_off}"
  fi
}

dev_doctor() {
  say "${c_bold}system${c_off}"
  row kernel "$(uname -srm)"
  row distribution "$(. /etc/os-release 2>/dev/null && echo "${PRETTY_NAME:-}")"
  row cpus "$GS_JOBS"
  row threads "ulimit -u $(ulimit -u 2>/dev/null || echo unknown)," \
    "kernel.threads-max $(cat /proc/sys/kernel/threads-max 2>/dev/null || echo unknown)," \
    "pids.max $(cat /sys/fs/cgroup/pids.max 2>/dev/null || echo unlimited)"
  row mappings "vm.max_map_count $(cat /proc/sys/vm/max_map_count 2>/dev/null || echo unknown)"

  say "${c_bold}tools${c_off}"
  program compiler cc --version
  program cmake cmake --version
  program ninja ninja --version
  program pkg-config pkg-config --version
  program lua lua5.4 -v
  row tcl "$(echo 'puts [info patchlevel]' | tclsh 2>/dev/null || echo missing)"
  row "tcl 9" "$(echo 'puts [info patchlevel]' | tclsh9.0 2>/dev/null || echo missing)"
  program gdb gdb --version
  program shellcheck shellcheck --version
  program luacheck luacheck --version
  program luals lua-language-server --version

  say "${c_bold}python${c_off}"
  for gs_python in python3 /usr/bin/python3 python3.10 python3.11 python3.12 python3.13 python3.14; do
    gs_found=$(usable_python "$gs_python" 2>&1) && row "$gs_python" "$gs_found" && continue
    [ "$gs_python" != python3 ] || row "$gs_python" "not usable: $gs_found"
  done
  for gs_venv in .venv .venv-*; do
    [ ! -e "$gs_venv/.base" ] || row "$gs_venv" "made from $(cat "$gs_venv/.base")"
  done

  say "${c_bold}packages${c_off}"
  for gs_group in build lua tcl demo postgres redis test git cross lint bench; do
    gs_missing=$(missing "$gs_group")
    # shellcheck disable=SC2086
    row "$gs_group" ${gs_missing:+missing:} ${gs_missing:-complete}
  done
  if may_install; then
    say "Missing packages are installed by the commands that need them."
  else
    say "Packages cannot be installed here: $GS_WHY_NOT."
  fi
}
