#!/bin/sh
# Uninstalling leaves nothing, and takes nothing that was there before.
. "$(dirname "$0")/common.sh"

# Into an empty place, and used, so that Python writes its compiled files.
install_into "$prefix"
[ -e "$prefix/include/gosched.h" ] || fail "gosched.h was not installed"
if built python python/gosched; then
  PYTHONPATH=$prefix/$PYTHON_DIR "$PYTHON" -c 'import gosched'
  [ -d "$prefix/$PYTHON_DIR/gosched/__pycache__" ] || [ -n "${PYTHONDONTWRITEBYTECODE:-}" ] ||
    fail "Python wrote no compiled files, so their removal is not tested"
fi
uninstall_from "$prefix"
# The prefix itself was made for it, too, and is the one directory that stays.
left=$(find "$prefix" -mindepth 1)
[ -z "$left" ] || fail "left behind: $left"
echo "nothing left in an empty prefix"

# Among other people's files, in directories that are empty but were there.
mkdir -p "$prefix/lib/pkgconfig" "$prefix/share" "$prefix/include"
echo mine >"$prefix/include/mine.h"
find "$prefix" | sort >before
install_into "$prefix"
install_into "$prefix"
uninstall_from "$prefix"
find "$prefix" | sort >after
diff -u before after || fail "the prefix is not as it was"
echo "a prefix in use is as it was, also after installing twice"

# Below DESTDIR, as packages are made: nothing is written outside it.
DESTDIR=$scratch/package
export DESTDIR
install_into /opt/gosched
[ -e "$DESTDIR/opt/gosched/include/gosched.h" ] || fail "DESTDIR is not respected"
[ ! -e /opt/gosched ] || fail "something was installed in /opt/gosched itself"
uninstall_from /opt/gosched
left=$(find "$DESTDIR/opt/gosched" -mindepth 1)
[ -z "$left" ] || fail "left behind: $left"
echo "nothing left below DESTDIR"

if uninstall_from /opt/gosched 2>error; then
  fail "uninstalling what is not there succeeds"
fi
grep -q 'nothing of gosched is installed' error || fail "not a clear error: $(cat error)"
