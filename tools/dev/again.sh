# shellcheck shell=sh disable=SC2154
# What failed is looked at again, before it counts.
#
# Thousands of tests wait for threads that the kernel runs when it likes.  On a machine where others
# compute, one of them may fail that says nothing about the library: nobody ran its thread in time.
# So a few tests that failed are run once more, one at a time, three times each.  Those that pass
# every time are unsteady: they do not count as failed, but are named at the very end of the run,
# with what they said, because each of them is a defect of the test, or a rare one of the library.
#
# Nothing is forgiven that cannot come from a busy machine: a signal, an abort, what a sanitizer
# reports; nor more than three tests at once.  With --strict nothing is at all.

GS_AGAIN_MOST=3

# One failed test of gs_log a line, and how it ended: "core.chan (Failed)".
failed_tests() {
  sed -n '/^The following tests FAILED/,/^Errors while/s/^[\t ]*[0-9]* - //p' "$gs_log"
}

# One of them failed in a way that no busy machine explains.
crashed() {
  failed_tests | grep -vq ' (\(Failed\|Timeout\))' ||
    awk -v failed=1 -v whole=1 -f tools/count_tests.awk "$gs_results" |
    grep -Eq '[A-Z][A-Za-z]+Sanitizer|^ *\| gosched: fatal'
}

# Those that failed in GS_BUILD pass now, alone.
pass_again() {
  gs_names=$(failed_tests)
  [ -n "$gs_names" ] && [ "$(printf '%s\n' "$gs_names" | wc -l)" -le "$GS_AGAIN_MOST" ] || return 1
  ! crashed || return 1
  gs_first_log=$gs_log
  # gs_prefix is a list of words without spaces of their own.
  # shellcheck disable=SC2086
  step "again, alone" ${gs_prefix:-} ctest --test-dir "$GS_BUILD" --rerun-failed --parallel 1 \
    --repeat until-fail:3 --test-output-size-failed 1000000 --output-on-failure && return 0
  gs_log=$gs_first_log
  return 1
}

# They count as passed, and are remembered for the end.
say_unsteady() {
  say "    unsteady: $(printf '%s' "$gs_names" | tr '\n' ' '): passed three times when run again alone"
  awk -v failed=1 -v brief=6 -f tools/count_tests.awk "$gs_results" |
    sed "s/^[^ ]/${GS_BUILD##*/}: &/" >>"$GS_LOGS/unsteady.txt"
  GS_UNSTEADY=$((GS_UNSTEADY + gs_failed)) GS_FAILED=$((GS_FAILED - gs_failed))
}
