#!/bin/sh
# pip installs the package from the tree, building the core with it, uninstalls it whole, and leaves
# the tree as it is.  (The test of the wheel builds from the source archive.)
. "$(dirname "$0")/common.sh"
need_wheels

python_program >main.py

environment direct
direct/bin/pip install --quiet "$SOURCE" || fail "pip install"
same "from the tree" "$(direct/bin/python main.py)" "$VERSION"
direct/bin/pip check || fail "what it needs is not installed with it"
direct/bin/pip uninstall --quiet --yes gosched
left=$(find direct -path '*gosched*' | head -n 3)
[ -z "$left" ] || fail "pip uninstall has left $left"

for left in "$SOURCE"/_skbuild "$SOURCE"/dist "$SOURCE"/*.egg-info; do
  [ ! -e "$left" ] || fail "the tree has $left now"
done
