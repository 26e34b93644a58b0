#!/bin/sh
# make_site.sh BUILD OUT PYTHON: the documentation as a site in OUT/site, or every dead link in it.
#
# Pages and what they link to are copied to OUT/pages as they lie in the repository, so that links
# are the same in both; the reference is made beside them; then mkdocs, for which a dead link, or a
# page that no menu leads to, is an error.  PYTHON has what requirements/docs.txt names, and finds
# the gosched of the build tree BUILD, whose docstrings become the Python reference.
set -eu
cd "$(dirname "$0")/.."
build=$1 out=$2 python=$3
rm -rf "$out"
mkdir -p "$out/pages"
cp tools/mkdocs.yml "$out/"
cp -R ./*.md LICENSE docs "$out/pages/"
tar cf - --exclude=__pycache__ core/*.h ffi/*.h bindings/lua/library examples tests/examples \
  tests/domain/fake.c bench/README.md | tar xf - -C "$out/pages"
"$python" tools/reference.py --out "$out/pages/docs/reference"
export PYTHONPATH="$build/python${PYTHONPATH:+:$PYTHONPATH}" GOSCHED_PYTHONPATH="$build/python"
export LD_LIBRARY_PATH="$build/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
# The theme's maker asks for attention in the name of a project of its own.
export NO_MKDOCS_2_WARNING=1
"$python" -m mkdocs build --quiet --strict --config-file "$out/mkdocs.yml"
