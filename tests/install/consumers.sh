#!/bin/sh
# Other projects find an installed gosched with CMake and with pkg-config, shared and static, also
# after its prefix was moved.
. "$(dirname "$0")/common.sh"

wanted="$VERSION $VERSION"
works() {
  got=$("$@" | cut -d ' ' -f 1,2)
  same "${got:+$1}" "$got" "$wanted"
}

install_into "$scratch/elsewhere"
mv "$scratch/elsewhere" "$prefix"
LD_LIBRARY_PATH=$prefix/$LIBDIR
export LD_LIBRARY_PATH PKG_CONFIG_PATH="$prefix/$LIBDIR/pkgconfig"

[ -e "$prefix/$LIBDIR/libgosched.so.$VERSION-gdb.py" ] || fail "gdb does not find its script"

"$prefix/bin/gosched-top" --version >/dev/null || fail "gosched-top does not run"
[ -e "$prefix/share/man/man1/gosched-top.1" ] || fail "gosched-top has no manual page"

mkdir consumer
c_program >consumer/main.c
cat >consumer/CMakeLists.txt <<'TXT'
cmake_minimum_required(VERSION 3.16)
project(consumer LANGUAGES C)
find_package(gosched 0.1 REQUIRED)
foreach(kind IN ITEMS gosched static)
  add_executable(with_${kind} main.c)
  target_link_libraries(with_${kind} PRIVATE gosched::${kind})
endforeach()
TXT
cmake -S consumer -B consumer/build -G Ninja -DCMAKE_C_COMPILER="$CC" \
  -DCMAKE_PREFIX_PATH="$prefix" >cmake.log || fail "find_package: $(cat cmake.log)"
cmake --build consumer/build >build.log || fail "with find_package: $(cat build.log)"
works consumer/build/with_gosched
works consumer/build/with_static


# The words of pkg-config's answer are arguments.
# shellcheck disable=SC2046
"$CC" consumer/main.c -o pc_shared $(pkg-config --cflags --libs gosched)
works ./pc_shared
objdump -p pc_shared | grep -q 'NEEDED *libgosched.so' || fail "pc_shared does not use the library"

rm -f "$prefix/$LIBDIR"/libgosched.so*
# shellcheck disable=SC2046
"$CC" consumer/main.c -o pc_static $(pkg-config --cflags --libs --static gosched)
works ./pc_static
