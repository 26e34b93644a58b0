#!/bin/sh
# Rules of the tree that no other linter knows.  Prints each finding; fails if there is one.
set -eu
cd "$(dirname "$0")/.."

list() { git ls-files --cached --others --exclude-standard --deduplicate -- "$@"; }
found=0
finding() {
  printf '%s\n' "$1" "$2"
  found=1
}

# A source file is a room one can know by heart.
long=$(list '*.c' '*.h' '*.S' '*.py' '*.lua' '*.tcl' '*.sh' | while read -r file; do
  [ ! -f "$file" ] || awk -v file="$file" 'END { if (NR > 800) print file ": " NR " lines" }' "$file"
done)
[ -z "$long" ] || finding "Longer than 800 lines; split it by subject:" "$long"

# Text ends with a newline, has no trailing blanks, and no tabs outside assembly and patches.
blanks=$(list ':!*.patch' ':!*.svg' ':!*.png' | while read -r file; do
  [ ! -f "$file" ] || ! grep -Iq . "$file" || grep -HnE '[[:blank:]]+$' "$file" || true
done)
[ -z "$blanks" ] || finding "Trailing blanks:" "$blanks"
endless=$(list ':!*.png' | while read -r file; do
  if [ -s "$file" ] && grep -Iq . "$file" && [ -n "$(tail -c 1 "$file")" ]; then echo "$file"; fi
done)
[ -z "$endless" ] || finding "No newline at the end of:" "$endless"

# The layers: core knows nobody; bindings know the public headers alone.
layers=$(
  list 'core/*.c' 'core/*.h' 'core/*.S' | while read -r file; do
    grep -HnE '#include .*(gosched_ffi|ffi\.h|Python\.h|lua\.h|tcl\.h)' "$file" || true
  done
  list 'ffi/*.c' 'ffi/*.h' 'bindings/*.c' 'bindings/*.h' | while read -r file; do
    grep -HnE '#include .*(runtime\.h|core/)' "$file" || true
  done
)
[ -z "$layers" ] || finding "A layer includes what it must not know:" "$layers"

# What depends on the version of Python is in one place, for C and for Python.
versions=$(list 'bindings/python/*.c' 'bindings/python/*.h' 'bindings/python/*.py' |
  while read -r file; do
    case $file in
      */tstate.c | */_versions.py) ;;
      *)
        [ ! -f "$file" ] ||
          grep -HnE 'PY_(VERSION_HEX|M(AJOR|INOR)_VERSION)|Py_Version|version_info|hexversion' "$file" ||
          true
        ;;
    esac
  done)
[ -z "$versions" ] || finding "Depends on the version outside of tstate.c and _versions.py:" "$versions"

# A mutant whose place has changed proves nothing any more.
if command -v patch >/dev/null; then
  stale=$(list 'tests/mutants/*.patch' | while read -r file; do
    [ ! -f "$file" ] || patch -p1 --dry-run -s -f -i "$file" >/dev/null 2>&1 || echo "$file"
  done)
  [ -z "$stale" ] || finding "Mutants that do not apply any more:" "$stale"
else
  echo "patch is not installed: whether the mutants apply is not checked"
fi

# Work that is left goes into an issue, not into the source.
left=$(list '*.c' '*.h' '*.S' '*.py' '*.lua' '*.tcl' '*.cmake' | while read -r file; do
  [ ! -f "$file" ] || grep -HnE '\b(TODO|FIXME|XXX|HACK)\b' "$file" || true
done)
[ -z "$left" ] || finding "Left-overs:" "$left"

# The version is written in VERSION alone.
version=$(cat VERSION)
grep -q "^## $version" CHANGELOG.md ||
  finding "CHANGELOG.md has no section for this version:" "$version"

exit $found
