# shellcheck shell=sh
# ./dev docs: the pages at the root and in docs/, and the reference of every language, as a web
# site in build/docs/site; and the manual pages, made from the headers, in build/docs/man.

make_site() {
  sh tools/make_site.sh "$GS_BUILD" "$GS_ROOT/build/docs" "$GS_PY"
}

make_manual() {
  python3 tools/manpages.py --version "$(cat VERSION)" --out build/docs/man \
    core/gosched.h core/gosched_embed.h core/gosched_inspect.h core/gosched_domain.h \
    core/gosched_shared.h \
    ffi/gosched_ffi.h
}

dev_docs() {
  set_up_build test
  need_python run docs || die "the site is made by a Python program: $GS_PY_WHY"
  build release
  must "documentation" make_site
  must "manual pages" make_manual
  say "build/docs/site/index.html"
  say "man -l build/docs/man/man7/gosched.7"
}
