# shellcheck shell=sh
# ./dev install and uninstall [--prefix P].

read_prefix() {
  gs_install_prefix=/usr/local
  while [ $# -gt 0 ]; do
    case $1 in
      --prefix) [ $# -ge 2 ] || usage_error "--prefix needs a directory" ;;
    esac
    case $1 in
      --prefix) gs_install_prefix=$2 && shift ;;
      --prefix=*) gs_install_prefix=${1#--prefix=} ;;
      *) usage_error "$command knows no option '$1'" ;;
    esac
    shift
  done
  case $gs_install_prefix in
    /*) ;;
    *) gs_install_prefix=$GS_CALLED_FROM/$gs_install_prefix ;;
  esac
}

dev_install() {
  read_prefix "$@"
  set_up_build
  build release "-DCMAKE_INSTALL_PREFIX=$gs_install_prefix"
  say_left_out
  must install sh tools/install_prefix.sh install "$GS_BUILD" "$gs_install_prefix"
  say "installed in ${DESTDIR:-}$gs_install_prefix; ./dev uninstall --prefix $gs_install_prefix takes it out"
}

dev_uninstall() {
  read_prefix "$@"
  must uninstall sh tools/install_prefix.sh uninstall "$gs_install_prefix"
  cat "$gs_log" >&3
}
