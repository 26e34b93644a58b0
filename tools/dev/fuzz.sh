# shellcheck shell=sh
# ./dev fuzz: the parser of C declarations under libFuzzer, with sanitizers.
#
# What it finds is in build/fuzz/findings, and fails the command; the inputs that reached new code
# are kept in build/fuzz/corpus, from which a later run goes on.  tests/fuzz/corpus is what every
# run begins with, and what the test ffi.fuzz_corpus replays.

dev_fuzz() {
  gs_seconds=60 gs_coverage=0
  while [ $# -gt 0 ]; do
    case $1 in
      --seconds)
        [ $# -ge 2 ] || usage_error "--seconds needs a value"
        gs_seconds=$2 && shift
        ;;
      --coverage) gs_coverage=1 ;;
      *) usage_error "fuzz knows no option '$1'" ;;
    esac
    shift
  done
  install_groups build fuzz
  need_build_tools
  need fuzz || die "fuzzing needs these packages, as root: $(install_hint)"
  GS_PY='' GS_PY_SUFFIX=''
  must "configure fuzz" cmake --preset fuzz -DGS_PYTHON=OFF
  must "build fuzz" cmake --build build/fuzz --target fuzz_cdef --parallel "$GS_JOBS"
  mkdir -p build/fuzz/corpus build/fuzz/findings
  if [ "$gs_coverage" -eq 1 ]; then
    fuzz_coverage
    return
  fi
  say "fuzzing gs_ffi_cdef for $gs_seconds s"
  build/fuzz/tests/fuzz/fuzz_cdef -max_total_time="$gs_seconds" -dict=tests/fuzz/c.dict \
    -artifact_prefix=build/fuzz/findings/ -print_final_stats=1 build/fuzz/corpus \
    tests/fuzz/corpus 2>build/logs/fuzz.log ||
    die "it found something: build/fuzz/findings, and the report is build/logs/fuzz.log"
  grep '^stat::' build/logs/fuzz.log
  say "nothing found"
}

# Which lines of the parser the corpora reach.
fuzz_coverage() {
  must "configure fuzz-coverage" cmake --preset fuzz -B build/fuzz-coverage -DGS_PYTHON=OFF \
    -DGS_SANITIZE=fuzzer-no-link -DCMAKE_C_FLAGS="-fprofile-instr-generate -fcoverage-mapping"
  must "build fuzz-coverage" cmake --build build/fuzz-coverage --target fuzz_cdef_replay \
    --parallel "$GS_JOBS"
  gs_replay=build/fuzz-coverage/tests/fuzz/fuzz_cdef_replay
  LLVM_PROFILE_FILE=build/fuzz-coverage/raw "$gs_replay" tests/fuzz/corpus build/fuzz/corpus
  llvm-profdata merge -o build/fuzz-coverage/data build/fuzz-coverage/raw
  llvm-cov report "$gs_replay" -instr-profile=build/fuzz-coverage/data ffi/cdecl*.c \
    ffi/cexpr.c ffi/clex.c ffi/cspec.c ffi/cstruct.c
}
