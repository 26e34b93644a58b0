#!/bin/sh
# The shared library exports the functions of its public headers, all of them and nothing else,
# under its SONAME.
. "$(dirname "$0")/common.sh"
library=$BUILD/lib/libgosched.so

same SONAME "$(objdump -p "$library" | sed -n 's/^ *SONAME *//p')" "libgosched.so.$SOVERSION"

# The version node itself is listed as an absolute symbol.
nm -D --defined-only "$library" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort >exported
cat "$BUILD"/include/gosched*.h | tr '\n' ' ' | grep -oE 'GS_API [^;(]*gs_[a-z0-9_]+\(' |
  grep -oE 'gs_[a-z0-9_]+\($' | tr -d '(' | sort -u >declared
[ "$(wc -l <declared)" -gt 20 ] || fail "the headers declare only: $(cat declared)"
diff -u declared exported || fail "declared (-) and exported (+) are not the same"
echo "$(wc -l <exported) symbols"

# The archive, too, has no names but its own for a program to clash with.
nm -g --defined-only "$BUILD/lib/libgosched.a" | awk 'NF == 3 { print $3 }' >archived
[ "$(wc -l <archived)" -gt 20 ] || fail "libgosched.a defines only: $(cat archived)"
if grep -v '^gs_' archived; then fail "libgosched.a defines these names"; fi
