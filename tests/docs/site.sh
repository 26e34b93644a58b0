#!/bin/sh
# The documentation site can be made, and has no dead link.
set -eu
if [ -z "$PYTHON" ] || ! "$PYTHON" -c 'import mkdocs, mkdocstrings' 2>/dev/null; then
  echo "skipped: $PYTHON has no mkdocs and mkdocstrings (requirements/docs.txt)"
  exit 77
fi
if [ ! -e "$BUILD/python/gosched" ]; then
  echo "skipped: the Python binding, whose reference is part of the site, was not built"
  exit 77
fi
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
sh "$SOURCE/tools/make_site.sh" "$BUILD" "$out" "$PYTHON"
for what in gs_cgocall gs_ffi_call gs_metrics gs_domain_new 'gosched.taskgroup' 'ffi.metatype' \
  'socket.bind' 'tcp:receive' \
  'gosched::select' TaskGroup; do
  grep -rqF "$what" "$out/site/docs/reference" || { echo "the reference lacks $what"; exit 1; }
done
