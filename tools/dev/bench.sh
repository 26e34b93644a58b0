# shellcheck shell=sh
# ./dev bench […]: arguments go to the driver in bench/.

dev_bench() {
  set_up_build bench
  need_or_say bench "some reference systems are"
  need_python run || die "the driver is a Python program: $GS_PY_WHY"
  need_python bench || need_python run
  build release
  use_build
  cd "$GS_CALLED_FROM"
  exec "$GS_PY" "$GS_ROOT/bench/run.py" "$@"
}
