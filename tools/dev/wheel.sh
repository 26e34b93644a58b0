# shellcheck shell=sh
# ./dev wheel [--out DIRECTORY]: the Python package as pip installs it, by tools/make_wheel.sh.

dev_wheel() {
  gs_out=$GS_ROOT/build/dist
  while [ $# -gt 0 ]; do
    case $1 in
      --out) [ $# -ge 2 ] || usage_error "--out needs a directory" ;;
    esac
    case $1 in
      --out) gs_out=$2 && shift ;;
      --out=*) gs_out=${1#--out=} ;;
      *) usage_error "wheel knows no option '$1'" ;;
    esac
    shift
  done
  case $gs_out in
    /*) ;;
    *) gs_out=$GS_CALLED_FROM/$gs_out ;;
  esac
  install_groups build python
  need_build_tools
  need_python run wheel || die "a wheel is made for a Python: $GS_PY_WHY"
  must wheel sh tools/make_wheel.sh "$GS_PY" "$gs_out"
  sed -n 's/^made: //p' "$gs_log" >&3
}

# What the tests of pip and of wheels install, fetched once, so that they need no network:
# GS_WHEELHOUSE, empty where it cannot be had.
need_wheelhouse() {
  GS_WHEELHOUSE=$GS_ROOT/build/wheelhouse$GS_PY_SUFFIX
  cat requirements/run.txt requirements/wheel.txt >"$GS_LOGS/wheelhouse.txt"
  cmp -s "$GS_LOGS/wheelhouse.txt" "$GS_WHEELHOUSE/made-from.txt" && return 0
  rm -rf "$GS_WHEELHOUSE"
  if step "python packages: wheelhouse" "$GS_PY" -m pip download --disable-pip-version-check \
    --no-input --require-hashes -r requirements/run.txt -r requirements/wheel.txt \
    --dest "$GS_WHEELHOUSE"; then
    mv "$GS_LOGS/wheelhouse.txt" "$GS_WHEELHOUSE/made-from.txt"
  else
    GS_WHEELHOUSE=
    note "pip's packages for the tests of wheels cannot be fetched, see ${gs_log#"$GS_ROOT/"}"
    return 1
  fi
}
