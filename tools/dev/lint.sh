# shellcheck shell=sh
# ./dev lint and ./dev fmt.  Every check runs, whatever the ones before it found; any finding
# fails the whole.

# on PATTERN… -- CMD…: CMD with the tree's own files that match, new ones too, as its last
# arguments; nothing if there are none.
on() (
  gs_patterns=
  while [ "$1" != -- ]; do
    gs_patterns="$gs_patterns $1"
    shift
  done
  shift
  set -f
  # shellcheck disable=SC2086
  git ls-files -z --cached --others --exclude-standard --deduplicate -- $gs_patterns |
    xargs -0 -r "$@"
)

check() {
  step "$@" && return 0
  show_log 100
  gs_findings=$((gs_findings + 1))
}

set_up_lint() {
  need git && git rev-parse --git-dir >/dev/null 2>&1 ||
    die "the files to look at are those of the git repository, and this is no clone"
  need_python run test lint || die "clang-format, ruff, mypy and pyright come from Python packages: $GS_PY_WHY"
  gs_bin=${GS_PY%/*}
}

dev_lint() {
  set_up_build git test lint
  set_up_lint
  need test || note "the C tests are not compiled; they need: $(install_hint)"
  need_or_say lint "some checks are"
  gs_findings=0

  check "clang-format" check_format
  check "compiler warnings" compile_strictly
  if have cmd:shellcheck; then
    check "shellcheck" check_shell
  fi
  check "ruff" on '*.py' -- "$gs_bin/ruff" check --quiet
  check "ruff format" on '*.py' -- "$gs_bin/ruff" format --check --quiet
  if [ -e bindings/python/pyproject.toml ]; then
    check "mypy" "$gs_bin/mypy" --config-file bindings/python/pyproject.toml
    # A program that uses the package, with the types that it should find.
    check "mypy, a program" "$gs_bin/mypy" --config-file bindings/python/pyproject.toml \
      tests/python/typed.py
    check "pyright, a program" with_extension "$gs_bin/pyright" --pythonpath "$GS_PY" \
      --warnings tests/python/typed.py
    check "pyright" with_extension "$gs_bin/pyright" --pythonpath "$GS_PY" \
      --project bindings/python --warnings
    # What users of py.typed see: every public name has one type, written down.
    check "pyright --verifytypes" with_extension "$gs_bin/pyright" --pythonpath "$GS_PY" \
      --verifytypes gosched --ignoreexternal
    # The stubs say what the extension module really has.
    check "stubtest" with_extension "$gs_bin/stubtest" --concise --ignore-disjoint-bases \
      --ignore-positional-only gosched._gosched
  fi
  if have cmd:luacheck; then
    check "luacheck" on '*.lua' '*.rockspec' -- luacheck --no-cache --quiet
  fi
  if have cmd:lua-language-server; then
    check "lua-language-server" "$GS_PY" tools/lua_annotations.py
  else
    note "lua-language-server is not on PATH: what it makes of the Lua annotations is not checked"
  fi
  check "rules of the tree" sh tools/check_tree.sh

  if [ "$gs_findings" -gt 0 ]; then
    die "$gs_findings of the checks found something; ./dev fmt mends what is only formatting"
  fi
  say "no findings"
}

# The build with every warning an error; its objects are of no other use.
compile_strictly() {
  cmake --preset lint "-DGS_PYTHON_EXECUTABLE=$GS_PY" && cmake --build build/lint --parallel "$GS_JOBS"
}

# with_extension CMD…: where the package is found as the strict build has made it.
with_extension() { env PYTHONPATH="$GS_ROOT/build/lint/python" "$@"; }

# Which files ./dev fmt would change, and in how many places.
check_format() {
  on '*.c' '*.h' -- "$gs_bin/clang-format" --dry-run >build/logs/format.txt 2>&1 || return 1
  ! sed -n 's/^\([^:]*\):.*-Wclang-format-violations.*/\1/p' build/logs/format.txt |
    sort | uniq -c | grep .
}

check_shell() {
  # What is read by others (tools/dev, common.sh) is checked with them, as the one program it is.
  shellcheck -x dev && on "*.sh" .ci/run ":!tools/dev/" ":!*/common.sh" -- \
    shellcheck -x -P SCRIPTDIR
}

dev_fmt() {
  set_up_lint
  must "clang-format" on '*.c' '*.h' -- "$gs_bin/clang-format" -i
  must "ruff format" on '*.py' -- "$gs_bin/ruff" format --quiet
  step "ruff --fix" on '*.py' -- "$gs_bin/ruff" check --fix --quiet || show_log 100
}
