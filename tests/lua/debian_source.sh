# shellcheck shell=sh
# debian_source.sh: download PACKAGE INTO WORK gets the upstream source of a Debian package.
#
# From where apt gets packages it can get their sources, too; its own lists are not touched: the
# lists are made in WORK.

download() {
  package=$1 into=$2 tmp=$3
  mkdir -p "$tmp/parts" "$tmp/lists/partial" "$into"
  for list in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
    [ -f "$list" ] || continue
    case $list in
      *.sources) sed 's/^Types:.*/Types: deb-src/' "$list" ;;
      *) sed -n 's/^deb /deb-src /p' "$list" ;;
    esac >"$tmp/parts/${list##*/}"
  done
  set -- -qq -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$tmp/parts" \
    -o Dir::State::Lists="$tmp/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
  apt-get "$@" update && cd "$into" && apt-get "$@" source --download-only "$package"
}
