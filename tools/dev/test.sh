# shellcheck shell=sh
# ./dev test: every test in every variant that matters, and one line that sums them up.
#
# A variant is a build and what is run in it: "check" (optimised, asserts on) runs everything for
# one Python, and the tests of the Python binding for every other version that is found; asan, tsan, ubsan and torture build the C library alone and run the C tests; so does
# arm64, for another processor and under an emulator; "mutants" is the test of the tests.  Without
# options: check, asan, tsan and torture.  What failed is run again (tools/dev/again.sh).

# Counts, in cases, over all variants.
GS_PASSED=0 GS_FAILED=0 GS_SKIPPED=0 GS_UNSTEADY=0 GS_RAN=

dev_test() {
  gs_regex='' gs_variants='' gs_pythons='' gs_all=0 gs_verbose=0 gs_other_pythons=0
  gs_strict=0
  while [ $# -gt 0 ]; do
    case $1 in
      -R | --san | --python | --arch) [ $# -ge 2 ] || usage_error "$1 needs a value" ;;
    esac
    case $1 in
      -R) gs_regex=$2 && shift ;;
      --san)
        case $2 in
          asan | tsan | ubsan) gs_variants="$gs_variants $2" ;;
          *) usage_error "--san is asan, tsan or ubsan, not '$2'" ;;
        esac
        shift
        ;;
      --python)
        if [ "$2" = all ]; then
          gs_other_pythons=1
        else
          gs_pythons="$gs_pythons $2"
        fi
        shift
        ;;
      --arch)
        [ "$2" = arm64 ] || usage_error "--arch is arm64, not '$2'"
        gs_variants="$gs_variants arm64"
        shift
        ;;
      --torture) gs_variants="$gs_variants torture" ;;
      --mutants) gs_variants="$gs_variants mutants" ;;
      --all) gs_all=1 ;;
      --strict) gs_strict=1 ;;
      -V) gs_verbose=1 ;;
      *) usage_error "test knows no option '$1'" ;;
    esac
    shift
  done
  if [ -z "$gs_variants" ]; then
    gs_variants=check
    if [ "$gs_all" -eq 1 ]; then
      gs_other_pythons=1
      gs_variants="check asan tsan ubsan torture arm64 mutants"
    elif [ -z "$gs_regex$gs_pythons" ] && [ "$gs_other_pythons" -eq 0 ]; then
      gs_other_pythons=1
      gs_variants="check asan tsan torture"
    fi
  fi

  gs_begin=$(date +%s)
  rm -f "$GS_LOGS/failed.txt" "$GS_LOGS/unsteady.txt"
  set_up_tests
  for gs_variant in $gs_variants; do
    case $gs_variant in
      check)
        for gs_python in ${gs_pythons:-default}; do
          run_check "$gs_python"
        done
        [ "$gs_other_pythons" -eq 0 ] || run_other_pythons
        ;;
      mutants) run_mutants ;;
      arm64) run_arm64 ;;
      *) run_c_variant "$gs_variant" ;;
    esac
  done
  sum_up
}

set_up_tests() {
  set_up_build test postgres redis perf
  need test || die "the tests need these packages, as root: $(install_hint)"
  need_or_say postgres "tests against a PostgreSQL server are"
  need_or_say redis "tests against a Redis server are"
  need_or_say perf "the test that perf walks through the change of stacks is"
}

# run_check PYTHON: builds for it and runs every test.
run_check() {
  GS_PY='' GS_PY_SUFFIX='' GS_WANT_PYTHON=${GS_WANT_PYTHON:-}
  [ "$1" = default ] || GS_WANT_PYTHON=$1
  # Only the first Python needs to test again what has nothing to do with Python.
  # It also makes the documentation site, to try its links.
  gs_labels='' gs_docs=docs
  case $GS_RAN in
    *check*) gs_labels='-L python' gs_docs='' ;;
  esac
  need_python run test ${gs_docs:+"$gs_docs"} || GS_FAILED=$((GS_FAILED + 1))
  need_python_tests
  # The tests of Python alone need no more built; those of packages need the wheelhouse.
  if [ -n "$GS_PY" ]; then
    case $gs_labels$gs_regex in
      ^python* | -L*) GS_TARGETS=python_tests gs_labels='-L python' ;;
      '' | *install* | *pip* | *wheel*)
        ! need_wheelhouse || export GOSCHED_WHEELHOUSE="$GS_WHEELHOUSE"
        ;;
    esac
  fi
  build check
  GS_TARGETS=
  say_left_out
  run_ctest "check$(python_tested)"
}

# For the summary: the exact version of GS_PY.
python_tested() {
  [ -z "$GS_PY" ] || printf ' (Python %s)' "$("$GS_PY" -c 'import platform
print(platform.python_version())')"
}

# The binding's tests for every version of CPython that is on PATH or under pyenv and has not been
# tested yet.  One that cannot be set up is a failure: what is there shall work.  CPython's own tests
# (tests/compat) are run with the first one only, unless all are asked for: they take minutes.
run_other_pythons() {
  gs_left_out='slow|compat'
  gs_first=$("${GS_PY:-false}" -c 'import sys; print("%d.%d" % sys.version_info[:2])' || true)
  for gs_version in 3.10 3.11 3.12 3.13 3.14; do
    [ "$gs_version" != "$gs_first" ] || continue
    find_python "$gs_version" >/dev/null 2>&1 || continue
    GS_PY='' GS_PY_SUFFIX='' GS_WANT_PYTHON=$gs_version GS_TARGETS=python_tests gs_labels='-L python'
    if need_python run test; then
      need_python_tests
      build check
      run_ctest "check$(python_tested)"
    else
      GS_FAILED=$((GS_FAILED + 1))
    fi
  done
  GS_TARGETS='' GS_WANT_PYTHON='' gs_left_out='slow'
}

# The C tests alone.  ThreadSanitizer of gcc 12 does not know address space layouts as random as
# those of newer kernels, so layout randomisation is turned off for it.
run_c_variant() {
  GS_PY='' GS_PY_SUFFIX='' gs_labels='-L ^(core|domain|ffi)$'
  build "$1"
  gs_prefix=
  if [ "$1" = tsan ] && setarch -R true 2>/dev/null; then
    gs_prefix='setarch -R'
  fi
  run_ctest "$1"
}

# With --all it is one of many, and left out where it cannot be had; asked for, that is an error.
run_arm64() {
  if set_up_arm64; then
    run_c_variant arm64
  elif [ "$gs_all" -eq 1 ]; then
    note "the tests for arm64 are left out: $GS_ARM64_WHY"
  else
    die "the tests cannot be run for arm64: $GS_ARM64_WHY"
  fi
}

# run_ctest NAME: runs what gs_labels and gs_regex select in GS_BUILD, and counts.
run_ctest() {
  GS_RAN="$GS_RAN${GS_RAN:+, }$1"
  gs_results=$GS_BUILD/results.xml
  rm -f "$gs_results"
  set -f
  # gs_prefix and gs_labels are lists of words without spaces of their own.
  # shellcheck disable=SC2086
  set -- ${gs_prefix:-} ctest --test-dir "$GS_BUILD" --output-junit "$gs_results" \
    --test-output-size-passed 1000000 --test-output-size-failed 1000000 \
    --no-tests=ignore --parallel "$GS_JOBS" $gs_labels
  set +f
  [ -z "$gs_regex" ] || set -- "$@" -R "$gs_regex"
  [ "$gs_all" -eq 1 ] || set -- "$@" -LE "^(${gs_left_out:-slow})\$"
  gs_status=0
  if [ "$gs_verbose" -eq 1 ]; then
    "$@" -V </dev/null || gs_status=$?
  else
    step "test ${GS_BUILD##*/}" "$@" || gs_status=$?
  fi
  gs_failed=0
  [ ! -e "$gs_results" ] || count_results
  if [ "$gs_status" -ne 0 ] && [ "$gs_failed" -gt 0 ] && [ "$gs_strict$gs_verbose" = 00 ] &&
    pass_again; then
    say_unsteady
  elif [ "$gs_status" -ne 0 ]; then
    [ "$gs_verbose" -eq 1 ] || failures
    # Something went wrong beside the tests themselves.
    [ "$gs_failed" -gt 0 ] || GS_FAILED=$((GS_FAILED + 1))
  fi
}

# Adds the cases of this run to the sums, and says why what was skipped was skipped.
count_results() {
  awk -f tools/count_tests.awk "$gs_results" >"$GS_BUILD/counts.txt"
  read -r gs_passed gs_failed gs_skipped <"$GS_BUILD/counts.txt"
  GS_PASSED=$((GS_PASSED + gs_passed)) GS_FAILED=$((GS_FAILED + gs_failed))
  GS_SKIPPED=$((GS_SKIPPED + gs_skipped))
  say "    $gs_passed passed, $gs_failed failed, $gs_skipped skipped in ${GS_BUILD##*/}"
  sed -n '2,$s/^/    /p' "$GS_BUILD/counts.txt" >&3
}

# What failed, with the end of its output, and how to run it again.
failures() {
  sed -n '/^The following tests FAILED/,/^Errors while/p' "$gs_log" | sed '$d' >&3
  if [ -e "$gs_results" ]; then
    awk -v failed=1 -f tools/count_tests.awk "$gs_results" >&3
    awk -v failed=1 -v brief=6 -f tools/count_tests.awk "$gs_results" |
      sed "s/^[^ ]/${GS_BUILD##*/}: &/" >>"$GS_LOGS/failed.txt"
  else
    show_log 60
  fi
  say "These again:  ctest --test-dir ${GS_BUILD#"$GS_ROOT/"} --rerun-failed -V"
}

run_mutants() {
  need git || die "the mutants need these packages, as root: $(install_hint)"
  gs_table=$GS_LOGS/mutants.txt
  rm -f "$gs_table"
  need_python run test || true
  gs_status=0
  gs_pattern=${gs_regex:-.}
  "${GS_PY:-python3}" tools/mutants.py --jobs "$GS_JOBS" --match "$gs_pattern" \
    --python "${GS_PY:-}" --counts "$gs_table" >&3 || gs_status=$?
  GS_RAN="$GS_RAN${GS_RAN:+, }mutants"
  if [ -s "$gs_table" ]; then
    read -r gs_passed gs_failed gs_skipped <"$gs_table"
    GS_PASSED=$((GS_PASSED + gs_passed)) GS_FAILED=$((GS_FAILED + gs_failed))
    GS_SKIPPED=$((GS_SKIPPED + gs_skipped))
  elif [ "$gs_status" -ne 0 ]; then
    GS_FAILED=$((GS_FAILED + 1))
  fi
}

sum_up() {
  say ""
  say "ran: $GS_RAN"
  if [ -n "$GS_NOTES" ]; then
    say "not as it could be here:"
    printf '%s' "$GS_NOTES" | sort -u | sed 's/^/  /' >&3
  fi
  if [ -s "$GS_LOGS/failed.txt" ]; then
    say "what failed, in short:"
    sed 's/^/  /' "$GS_LOGS/failed.txt" >&3
  fi
  if [ -s "$GS_LOGS/unsteady.txt" ]; then
    say "unsteady (failed once, and passed three times alone: to be mended), in short:"
    sed 's/^/  /' "$GS_LOGS/unsteady.txt" >&3
  fi
  say "in $(elapsed "$gs_begin")"
  [ "$GS_UNSTEADY" -eq 0 ] || say "$GS_UNSTEADY unsteady"
  say "$GS_PASSED passed, $GS_FAILED failed, $GS_SKIPPED skipped"
  if [ "$GS_PASSED" -eq 0 ]; then
    die "no test ran${gs_regex:+: none matches '$gs_regex'}"
  fi
  [ "$GS_FAILED" -eq 0 ]
}
