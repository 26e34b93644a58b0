#!/bin/sh
# ./dev test looks again at what failed (tools/dev/again.sh): what passes alone is unsteady; what
# fails again, ends by a signal, tells a sanitizer's report, or is one of too many has failed.
set -eu
GS_ROOT=$SOURCE
cd "$SOURCE"
. tools/dev/ui.sh
. tools/dev/again.sh
. tools/dev/test.sh
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
GS_LOGS=$there/logs GS_JOBS=2 gs_verbose=0 gs_all=0 gs_regex='' gs_labels=''
bad=0

# program NAME LINES: a test that does LINES the first time, and passes when it is run again.
program() {
  printf '#!/bin/sh\n[ ! -e "%s" ] || exit 0\n: > "%s"\n%s\n' \
    "$GS_BUILD/$1.ran" "$GS_BUILD/$1.ran" "$2" >"$GS_BUILD/$1.sh"
  printf 'add_test(%s sh %s)\n' "$1" "$GS_BUILD/$1.sh" >>"$GS_BUILD/CTestTestfile.cmake"
}

# look EXPECTED: runs the tests of GS_BUILD; EXPECTED is "passed failed unsteady".
look() {
  GS_PASSED=0 GS_FAILED=0 GS_SKIPPED=0 GS_UNSTEADY=0 GS_RAN=
  run_ctest "$name" 3>"$there/said"
  if [ "$GS_PASSED $GS_FAILED $GS_UNSTEADY" != "$1" ]; then
    echo "$name: passed, failed, unsteady are $GS_PASSED $GS_FAILED $GS_UNSTEADY, expected $1"
    cat "$there/said"
    bad=1
  fi
}

# tests NAME: a new build without tests yet.
tests() {
  name=$1 GS_BUILD=$there/$1
  mkdir -p "$GS_BUILD"
}

tests once
program late 'echo "not in time"; exit 1'
program good 'exit 0'
# shellcheck disable=SC2034
gs_strict=0
look '1 0 1'
grep -q '^once: late:' "$GS_LOGS/unsteady.txt" || { echo "late is not named at the end"; bad=1; }

tests strict
program late 'exit 1'
gs_strict=1
look '0 1 0'
# shellcheck disable=SC2034
gs_strict=0

tests always
printf 'add_test(wrong false)\n' >"$GS_BUILD/CTestTestfile.cmake"
look '0 1 0'

tests crash
program late 'kill -SEGV $$'
look '0 1 0'

tests report
program late 'echo "WARNING: ThreadSanitizer: data race"; exit 66'
look '0 1 0'

tests broken
program late 'echo "gosched: fatal: an invariant"; exit 1'
look '0 1 0'

tests many
for n in 1 2 3 4; do program "late$n" 'exit 1'; done
look '0 4 0'

exit "$bad"
