#!/bin/sh
# Installs a build tree into a prefix, and takes it out again without leaving anything.
#
#   install_prefix.sh install BUILD PREFIX
#   install_prefix.sh uninstall PREFIX
#
# DESTDIR, if set, comes before PREFIX, as packagers expect.  What was put there, and which
# directories were made for it, is written to share/gosched/manifest in the prefix: so any clone of
# the tree can uninstall, and directories that were there before stay.
set -eu

die() {
  printf 'install_prefix.sh: %s\n' "$*" >&2
  exit 1
}

# within PREFIX: where that is on this machine.
within() {
  case $1 in
    /*) printf '%s%s' "${DESTDIR:-}" "${1%/}" ;;
    *) die "the prefix must be an absolute path, not '$1'" ;;
  esac
}

manifest=share/gosched/manifest

install_tree() {
  build=$1
  root=$(within "$2")
  [ ! -e "$root/$manifest" ] || uninstall_tree "$2"

  # A trial run into an empty place tells what there will be, before it is there.
  stage=$(mktemp -d)
  trap 'rm -rf "$stage"' EXIT
  DESTDIR=$stage cmake --install "$build" --prefix "$2" >"$stage.log" 2>&1 || {
    cat "$stage.log" >&2
    rm -f "$stage.log"
    die "cmake --install $build failed"
  }
  rm -f "$stage.log"
  mkdir -p "$stage${2%/}/${manifest%/*}"
  {
    # Deepest first, which is the order to remove them in.
    (cd "$stage${2%/}" && find . -depth -type d | sed 's|^\./||') | while IFS= read -r dir; do
      [ "$dir" = . ] || [ -d "$root/$dir" ] || printf 'directory %s\n' "$dir"
    done
    (cd "$stage${2%/}" && find . \( -type f -o -type l \) | sed 's|^\./||') |
      while IFS= read -r file; do printf 'file %s\n' "$file"; done
  } >"$stage.manifest"
  cmake --install "$build" --prefix "$2"
  mkdir -p "$root/${manifest%/*}"
  mv "$stage.manifest" "$root/$manifest"
}

# CPython writes what it compiled beside a module, when somebody imports it.
remove_compiled() {
  stem=${1##*/}
  for compiled in "${1%/*}/__pycache__/${stem%.py}".*.pyc; do
    rm -f "$compiled"
  done
  rmdir "${1%/*}/__pycache__" 2>/dev/null || true
}

uninstall_tree() {
  root=$(within "$1")
  [ -e "$root/$manifest" ] || die "nothing of gosched is installed in $root ($manifest is missing)"
  list=$(mktemp)
  mv "$root/$manifest" "$list"
  sed -n 's/^file //p' "$list" | while IFS= read -r file; do
    rm -f "$root/$file"
    case $file in
      *.py) remove_compiled "$root/$file" ;;
    esac
  done
  sed -n 's/^directory //p' "$list" | while IFS= read -r dir; do
    rmdir "$root/$dir" 2>/dev/null || [ ! -d "$root/$dir" ] ||
      printf 'left, because something else is in it: %s\n' "$root/$dir"
  done
  rm -f "$list"
}

case ${1:-} in
  install) [ $# -eq 3 ] && install_tree "$2" "$3" ;;
  uninstall) [ $# -eq 2 ] && uninstall_tree "$2" ;;
  *) die "the first argument is install or uninstall" ;;
esac
