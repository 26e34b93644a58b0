# shellcheck shell=sh
# System packages: what each group of commands needs, how to see whether it is there, and the
# Debian package that brings it.  What is missing is installed with apt-get when that is possible
# (root, or sudo); otherwise it is named, and what needs it is left out.

# GROUP  DEBIAN PACKAGE  PROBE
#   cmd:X    a program X on PATH            pc:X     pkg-config knows X
#   lib:X    the dynamic linker finds X     dir:X    a directory matching X
#   file:X   the file X is there
# The groups: build (nothing works without), lua, tcl (these bindings), demo, postgres, redis, test,
# perf, git, cross (./dev test --arch arm64), lint, bench.
GS_PACKAGES='
build    gcc            cmd:cc
build    libc6-dev      pc:libc
build    binutils       cmd:ld
build    cmake          cmd:cmake
build    ninja-build    cmd:ninja
build    pkg-config     cmd:pkg-config
build    libffi-dev     pc:libffi
lua      lua5.4         cmd:lua5.4
lua      liblua5.4-dev  pc:lua5.4
tcl      tcl            cmd:tclsh
tcl      tcl-dev        pc:tcl
demo     libsqlite3-0   lib:libsqlite3.so.0
demo     zlib1g         lib:libz.so.1
postgres postgresql     dir:/usr/lib/postgresql/*/bin
postgres libpq5         lib:libpq.so.5
redis    redis-server   cmd:redis-server
test     libcmocka-dev  pc:cmocka
test     g++            cmd:c++
test     libsqlite3-dev file:/usr/include/sqlite3.h
test     zlib1g-dev     file:/usr/include/zlib.h
test     libpq-dev      file:/usr/include/postgresql/libpq-fe.h
test     libcurl4-openssl-dev pc:libcurl
test     patch          cmd:patch
test     gdb            cmd:gdb
test     libunwind-dev  pc:libunwind
test     spin           cmd:spin
test     mandoc         cmd:mandoc
test     lua-socket     file:/usr/share/lua/5.4/socket.lua
test     luarocks       cmd:luarocks
test     lua-sql-sqlite3 dir:/usr/lib/*/lua/5.4/luasql
test     tcl-thread     dir:/usr/lib/tcltk/*/thread*
test     tk             cmd:wish
test     xvfb           cmd:Xvfb
test     xdotool        cmd:xdotool
perf     linux-perf     cmd:perf
git      git            cmd:git
cross    gcc-aarch64-linux-gnu   cmd:aarch64-linux-gnu-gcc
cross    g++-aarch64-linux-gnu   cmd:aarch64-linux-gnu-g++
cross    libc6-dev-arm64-cross   file:/usr/aarch64-linux-gnu/include/stdio.h
cross    qemu-user      cmd:qemu-aarch64
fuzz     clang          cmd:clang
fuzz     libclang-rt-14-dev dir:/usr/lib/llvm-*/lib/clang/*/lib/linux
fuzz     llvm           cmd:llvm-cov
bench    golang-go      cmd:go
bench    cargo          cmd:cargo
lint     shellcheck     cmd:shellcheck
lint     lua-check      cmd:luacheck
'

GS_TRIED=

# have PROBE: whether it is there.
have() {
  gs_what=${1#*:}
  case $1 in
    cmd:*) command -v "$gs_what" >/dev/null 2>&1 ;;
    file:*) [ -e "$gs_what" ] ;;
    pc:libc) [ -e /usr/include/stdio.h ] ;;
    pc:*) command -v pkg-config >/dev/null 2>&1 && pkg-config --exists "$gs_what" ;;
    lib:*) { ldconfig -p || /sbin/ldconfig -p; } 2>/dev/null | grep -q "[[:space:]]$gs_what " ;;
    dir:*)
      for gs_dir in $gs_what; do
        [ ! -d "$gs_dir" ] || return 0
      done
      return 1
      ;;
  esac
}

# missing GROUP…: the Debian packages of these groups that are not there, one a line.
missing() {
  printf '%s\n' "$GS_PACKAGES" | while read -r gs_group gs_package gs_probe; do
    [ -n "$gs_group" ] || continue
    case " $* " in
      *" $gs_group "*) have "$gs_probe" || printf '%s\n' "$gs_package" ;;
    esac
  done
}

# How to become root here, in GS_SUDO; fails when there is no way, with the reason in GS_WHY_NOT.
may_install() {
  GS_SUDO=
  if [ "${GOSCHED_DEV_INSTALL:-1}" = 0 ]; then
    GS_WHY_NOT="GOSCHED_DEV_INSTALL is 0"
  elif ! command -v apt-get >/dev/null 2>&1; then
    GS_WHY_NOT="this system has no apt-get; the names are those of Debian's packages"
  elif [ "$(id -u)" -eq 0 ]; then
    return 0
  elif ! command -v sudo >/dev/null 2>&1; then
    GS_WHY_NOT="not root, and there is no sudo"
  elif sudo -n true 2>/dev/null; then
    GS_SUDO="sudo -n"
    return 0
  elif [ -t 0 ]; then
    GS_SUDO=sudo
    say "  sudo is used to install packages and may ask for your password"
    sudo -v && return 0
    GS_WHY_NOT="sudo did not work"
  else
    GS_WHY_NOT="sudo asks for a password"
  fi
  return 1
}

apt() { $GS_SUDO env DEBIAN_FRONTEND=noninteractive apt-get -y "$@"; }

# All at once, and if that fails one by one, so that one package that is not to be had does not
# take the others with it.
apt_install() {
  if [ -z "${gs_updated:-}" ]; then
    apt update || echo "apt-get update failed; trying with the lists that are there"
    gs_updated=1
  fi
  apt install --no-install-recommends "$@" && return 0
  for gs_package in "$@"; do
    apt install --no-install-recommends "$gs_package" || echo "could not install $gs_package"
  done
}

# install_packages PACKAGE…: one that is still missing afterwards is not tried again.
install_packages() {
  GS_TRIED="$GS_TRIED $* "
  if may_install; then
    say "  installing $*"
    step packages apt_install "$@" || true
    hash -r
  else
    note "cannot install $* here: $GS_WHY_NOT"
  fi
}

# install_groups GROUP…: tries once to install what they lack; what they are is asked later.
install_groups() {
  gs_missing=$(missing "$@")
  case " $* " in
    *" python "*) [ -x .venv/bin/python ] || [ -n "$GS_WANT_PYTHON" ] ||
      find_python "" >/dev/null 2>&1 || gs_missing="$gs_missing python3-dev python3-venv" ;;
  esac
  # The list is one word a package.
  # shellcheck disable=SC2086
  [ -z "$gs_missing" ] || install_packages $gs_missing
}

# need GROUP…: fails if something is missing after trying to install it.
need() {
  gs_missing=$(missing "$@")
  for gs_package in $gs_missing; do
    case $GS_TRIED in
      *" $gs_package "*) ;;
      *)
        install_groups "$@"
        gs_missing=$(missing "$@")
        break
        ;;
    esac
  done
  [ -z "$gs_missing" ]
}

# CPython's own tests, which tests/compat runs: other builds have them, Debian's in a package.
need_python_tests() {
  [ -n "$GS_PY" ] || return 0
  "$GS_PY" -c 'import test.test_threading' 2>/dev/null && return 0
  gs_package=lib$("$GS_PY" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')-testsuite
  case $GS_TRIED in
    *" $gs_package "*) ;;
    *) install_packages "$gs_package" ;;
  esac
  "$GS_PY" -c 'import test.test_threading' 2>/dev/null ||
    note "CPython's own tests on green threads are left out; they need: apt-get install $gs_package"
}

# How a person installs what is still missing.
install_hint() {
  # shellcheck disable=SC2086
  echo "apt-get install" $gs_missing
}

# The packages without which nothing can be built, and a CMake that is new enough.
need_build_tools() {
  need build || die "a build needs these packages, as root: $(install_hint)"
  gs_cmake=$(cmake --version | sed -n 's/^cmake version //p')
  case $gs_cmake in
    [012].* | 3.[0-9] | 3.[0-9].* | 3.1[0-9]* | 3.2[0-4]*)
      die "CMake 3.25 or newer is needed, and this is $gs_cmake; 'pip install cmake' has a newer one"
      ;;
  esac
}

# need_or_say GROUP WHAT: for things that can be gone without.
need_or_say() {
  need "$1" || note "$2 left out; it needs: $(install_hint)"
}
