# shellcheck shell=sh
# ./dev docs: the pages at the root and in docs/ as a web site, in build/docs/site.

make_site() {
  rm -rf build/docs
  mkdir -p build/docs/pages
  cp tools/mkdocs.yml build/docs/
  cp -R ./*.md LICENSE docs build/docs/pages/
  "$GS_PY" -m mkdocs build --quiet --config-file build/docs/mkdocs.yml
}

dev_docs() {
  need_python run docs || die "the site is made by a Python program: $GS_PY_WHY"
  must "documentation" make_site
  say "build/docs/site/index.html"
}
