#!/bin/sh
# pip installs the package from the tree, building the core with it, and from the source archive,
# which has all that it needs; both leave the tree as it is.
. "$(dirname "$0")/common.sh"
need_wheels

python_program >main.py
before=$(ls -A "$SOURCE")

environment direct
direct/bin/pip install --quiet "$SOURCE" || fail "pip install"
same "from the tree" "$(direct/bin/python main.py)" "$VERSION"
direct/bin/pip check || fail "what it needs is not installed with it"
direct/bin/pip uninstall --quiet --yes gosched
left=$(find direct -path '*gosched*' | head -n 3)
[ -z "$left" ] || fail "pip uninstall has left $left"

# A copy without what git does not know: what is built from must not need more.
environment tools
tools/bin/pip install --quiet build
tools/bin/python -m build --sdist --outdir archive "$SOURCE" >build.log 2>&1 ||
  fail "the source archive: $(cat build.log)"
direct/bin/pip install --quiet archive/gosched-"$VERSION".tar.gz || fail "pip install of the archive"
same "from the archive" "$(direct/bin/python main.py)" "$VERSION"

tar tzf archive/gosched-"$VERSION".tar.gz | grep -q '/LICENSE$' || fail "the archive has no licence"
[ "$(ls -A "$SOURCE")" = "$before" ] || fail "the tree has changed: $(ls -A "$SOURCE")"
