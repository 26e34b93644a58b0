# shellcheck shell=sh
# What the tests in this folder share.  ctest gives them SOURCE, BUILD, VERSION and the rest of
# the environment in CMakeLists.txt.
set -eu

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# Not every test installs into it.
# shellcheck disable=SC2034
prefix=$scratch/prefix

# Nothing of the tree, or of another installation, may help.
unset CPATH LIBRARY_PATH LD_LIBRARY_PATH PYTHONPATH LUA_PATH LUA_CPATH TCLLIBPATH \
  PKG_CONFIG_PATH CMAKE_PREFIX_PATH DESTDIR
cd "$scratch"

fail() {
  printf 'FAILED: %s\n' "$*" >&2
  exit 1
}

# same WHAT GOT WANTED
same() {
  [ "$2" = "$3" ] || fail "$1 is '$2', and should be '$3'"
  printf '%s: %s\n' "$1" "$2"
}

install_into() { sh "$SOURCE/tools/install_prefix.sh" install "$BUILD" "$1" >install.log; }
uninstall_from() { sh "$SOURCE/tools/install_prefix.sh" uninstall "$1"; }

# built LANGUAGE PATH: whether this build has the binding; if not, says why.
built() {
  [ ! -e "$BUILD/$2" ] || return 0
  printf '%s is not tested: %s\n' "$1" \
    "$(grep -i "$1" "$BUILD/left-out.txt" || echo "the build has no $2")"
  return 1
}

# A C program that says which version it was compiled against and which it runs with.
c_program() {
  cat <<'TXT'
#include <gosched.h>
#include <gosched_domain.h>
#include <gosched_ffi.h>
#include <stdio.h>

static int work(void *arg) {
  *(int *)arg = 42;
  return 7;
}

static int body(void *arg) {
  int result = 0;
  return gs_cgocall(work, arg, &result) == GS_OK ? result : -1;
}

int main(void) {
  gs_config config = GS_CONFIG_DEFAULT;
  int seen = 0, result = 0;
  int status = gs_run(&config, body, &seen, &result);
  if (status != GS_OK || seen != 42 || result != 7) {
    printf("gs_run: %s, seen %d, result %d\n", gs_strerror(status), seen, result);
    return 1;
  }
  gs_ffi_free(gs_ffi_new());
  printf("%s %s %d\n", GS_VERSION, gs_version(), GS_VERSION_NUMBER);
  return 0;
}
TXT
}

# need_wheels: pip gets its packages from where ./dev test has put them, and from nowhere else.
need_wheels() {
  built python python/gosched || exit 77
  [ -n "${GOSCHED_WHEELHOUSE:-}" ] || {
    echo "not tested: GOSCHED_WHEELHOUSE is not set; ./dev test fetches what pip installs here"
    exit 77
  }
  export PIP_NO_INDEX=1 PIP_FIND_LINKS="$GOSCHED_WHEELHOUSE" PIP_DISABLE_PIP_VERSION_CHECK=1
}

# environment DIRECTORY: a fresh virtual environment.
environment() {
  "$PYTHON" -c 'import sys; print(getattr(sys, "_base_executable", sys.executable))' >base.txt
  "$(cat base.txt)" -m venv "$1"
}

# A foreign call and the version, in each language; in Python also C that calls back.
python_program() {
  cat <<'TXT'
import gosched

C = "int abs(int); void qsort(void *, size_t, size_t, int (*)(const void *, const void *));"
libc = gosched.dlopen(None, C)
ffi = gosched.ffi(libc)
calls = 0


@gosched.callback("int(const void *, const void *)")
def compare(a, b):
    global calls
    calls += 1
    gosched.sleep(0.0001)  # others sort meanwhile
    x, y = ffi.cast("int *", a)[0], ffi.cast("int *", b)[0]
    return (x > y) - (x < y)


def sort(numbers):
    array = ffi.new("int[]", numbers)
    libc.qsort(array, len(numbers), 4, compare)
    return list(array)


def main():
    ch = gosched.Chan(1)
    gosched.go(lambda: ch.send(libc.abs(-3)))
    greens = [gosched.go(sort, [i, 3, 2, 1]) for i in range(20)]
    for i, green in enumerate(greens):
        assert green.result() == sorted([i, 3, 2, 1])
    return ch.recv()


assert gosched.run(main) == 3
assert calls > 0
print(gosched.__version__)
TXT
}

lua_program() {
  cat <<'TXT'
local gosched = require "gosched"
gosched.ffi.cdef "int abs(int);"
local seen
gosched.run(function() seen = gosched.ffi.C.abs(-3) end)
assert(seen == 3, "abs(-3) is " .. tostring(seen))
print(gosched._VERSION)
TXT
}

tcl_program() {
  cat <<'TXT'
set version [package require gosched]
gosched::cdef {int abs(int x);}
set libc [gosched::load libc.so.6]
if {[${libc}::abs -3] != 3} {error "abs(-3) is wrong"}
puts $version
TXT
}

# guests: the languages that this build has a guest of.
guests() {
  for guest in lua tcl python; do
    [ ! -e "$BUILD/lib/gosched/gosched-guest-$guest.so" ] || printf '%s ' "$guest"
  done
}

# A host in each language: starts a guest of each that its arguments name, and prints what that says.
embed_c_program() {
  cat <<'TXT'
#include <gosched.h>
#include <stdio.h>
#include <string.h>

static const char *source_of(const char *language) {
  if (!strcmp(language, "lua")) return "return 'lua ' .. require('gosched')._VERSION";
  if (!strcmp(language, "tcl")) return "return \"tcl [package require gosched]\"";
  return "import gosched\n'python ' + gosched.__version__";
}

static int body(void *arg) {
  for (char **language = arg; *language; language++) {
    gs_guest *g;
    gs_guest_end end = {.size = sizeof end};
    if (gs_embed(*language, source_of(*language), NULL, &g) != GS_OK) {
      printf("%s\n", gs_error_detail());
      return 1;
    }
    gs_guest_join(g, GS_FOREVER);
    gs_guest_result(g, &end);
    printf("%s%s\n", end.text, end.trace);
    gs_guest_release(g);
  }
  return 0;
}

int main(int argc, char **argv) {
  int result = argc < 1;
  return gs_run(NULL, body, argv + 1, &result) || result;
}
TXT
}

embed_python_program() {
  cat <<'TXT'
import sys
import gosched

SOURCES = {
    "lua": "return 'lua ' .. require('gosched')._VERSION",
    "tcl": 'return "tcl [package require gosched]"',
}


def main():
    for language in sys.argv[1:]:
        print(gosched.embed(language, SOURCES[language]).result())


gosched.run(main)
TXT
}

embed_lua_program() {
  cat <<'TXT'
local gosched = require "gosched"
gosched.run(function()
  for _, language in ipairs(arg) do
    local source = language == "tcl" and 'return "tcl [package require gosched]"' or
      "import gosched\n'python ' + gosched.__version__"
    print(gosched.embed(language, source):join())
  end
end)
TXT
}

embed_tcl_program() {
  cat <<'TXT'
package require gosched
foreach language $argv {
    set source [expr {$language eq "lua" ? {return 'lua ' .. require('gosched')._VERSION}
                      : "import gosched\n'python ' + gosched.__version__"}]
    puts [[gosched::embed $language $source] join]
}
TXT
}

# What they print.
said() { for guest in "$@"; do printf '%s %s\n' "$guest" "$VERSION"; done; }
