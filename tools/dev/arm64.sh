# shellcheck shell=sh
# What ./dev test --arch arm64 needs beside the cross compiler and the emulator: libffi and cmocka
# for arm64.  Debian's packages are fetched (apt checks their signatures) and unpacked below build/,
# with lists and a package state of their own: the system learns nothing of another architecture,
# and root is not needed.

GS_ARM64_ROOT=$GS_ROOT/build/sysroot-arm64

# Fails if something is missing; the reason is in GS_ARM64_WHY.
set_up_arm64() {
  if ! need cross; then
    GS_ARM64_WHY="it needs these packages, as root: $(install_hint)"
    return 1
  fi
  [ ! -e "$GS_ARM64_ROOT/.complete" ] || return 0
  if ! command -v apt-get >/dev/null 2>&1 || ! command -v dpkg-deb >/dev/null 2>&1; then
    GS_ARM64_WHY="libffi and cmocka for arm64 are missing in ${GS_ARM64_ROOT#"$GS_ROOT/"}, and there is no apt-get to fetch them"
    return 1
  fi
  if ! step "packages for arm64" fetch_arm64; then
    show_log
    GS_ARM64_WHY="libffi and cmocka for arm64 cannot be fetched"
    return 1
  fi
}

# apt as it is for an arm64 system on which nothing is installed, in build/apt-arm64.
apt_arm64() {
  apt-get -q -y -o APT::Architecture=arm64 -o APT::Architectures=arm64 \
    -o "Dir::State=$gs_apt" -o "Dir::State::status=$gs_apt/status" -o "Dir::Cache=$gs_apt" \
    -o Debug::NoLocking=1 -o APT::Sandbox::User= -o Acquire::Retries=3 "$@"
}

fetch_arm64() {
  gs_apt=$GS_ROOT/build/apt-arm64
  rm -rf "$gs_apt" "$GS_ARM64_ROOT"
  mkdir -p "$gs_apt/lists/partial" "$gs_apt/archives/partial" "$GS_ARM64_ROOT"
  : >"$gs_apt/status"
  apt_arm64 update || return 1
  apt_arm64 install --download-only --no-install-recommends libffi-dev libcmocka-dev || return 1
  # The C library that they depend on is the compiler's own.
  for gs_deb in "$gs_apt"/archives/libffi*.deb "$gs_apt"/archives/libcmocka*.deb; do
    dpkg-deb -x "$gs_deb" "$GS_ARM64_ROOT" || return 1
  done
  rm -rf "$gs_apt"
  : >"$GS_ARM64_ROOT/.complete"
}
