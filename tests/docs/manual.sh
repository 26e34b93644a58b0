#!/bin/sh
# manual.sh MAN PAGE HEADER…: every public function has a page, and mandoc finds nothing wrong in any,
# nor in PAGE, which is written by hand.
set -eu
man=$1
by_hand=$2
shift 2

missing=0
names=$(cat "$@" | sed -n 's/^GS_API .*[ *]\(gs_[a-z0-9_]*\)(.*/\1/p')
for name in $names; do
  if [ ! -s "$man/man3/$name.3" ]; then
    echo "no page: $name"
    missing=1
  fi
done

# A page that only leads to another one is checked there.
pages=0
for page in "$by_hand" "$man"/man3/*.3 "$man"/man7/*.7; do
  if target=$(sed -n 's/^\.so //p' "$page") && [ -n "$target" ]; then
    [ -s "$man/$target" ] || { echo "$page leads to $target, which is missing" && missing=1; }
    continue
  fi
  pages=$((pages + 1))
  mandoc -T lint -W warning "$page" || missing=1
done
echo "$pages pages"
[ "$pages" -gt 40 ] || missing=1
exit $missing
