# shellcheck shell=sh
# ./dev clean: the tree as it was cloned; files somebody wrote are left alone.

dev_clean() {
  rm -rf build .venv .venv-*
  find . -path ./.git -prune -o -type d \( -name __pycache__ -o -name .pytest_cache \
    -o -name .mypy_cache -o -name .ruff_cache -o -name .hypothesis \) -prune -exec rm -rf {} +
  say "removed build/, .venv*/ and caches"
}
