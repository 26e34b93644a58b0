# shellcheck shell=sh
# ./dev lock: pins anew what requirements/*.in ask for, for every supported Python at once.  The
# order matters: later files are constrained by earlier ones.

dev_lock() {
  need_python run || die "locking needs a Python: $GS_PY_WHY"
  GS_UV=build/uv/bin/uv
  if [ ! -x $GS_UV ]; then
    must "python environment: uv" "$GS_PY" -m venv build/uv
    must "python packages: uv" build/uv/bin/python -m pip install --disable-pip-version-check uv
  fi
  for gs_group in run test wheel lint docs bench; do
    [ -e "requirements/$gs_group.in" ] || continue
    must "lock $gs_group" env -C requirements "../$GS_UV" pip compile --upgrade --universal \
      --python-version 3.10 --generate-hashes --no-emit-index-url --no-emit-find-links \
      --custom-compile-command "./dev lock" "$gs_group.in" -o "$gs_group.txt"
  done
}
