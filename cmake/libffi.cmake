# libffi, as the target gosched::libffi.
#
# A wheel goes to machines whose libffi may be another one, or none: there it is linked into
# libgosched where a static library of position independent code is at hand (Debian's libffi-dev
# has one).  Elsewhere the wheel needs the system's, unless auditwheel puts it in.

find_package(PkgConfig QUIET)
if(PkgConfig_FOUND)
  pkg_check_modules(LIBFFI QUIET IMPORTED_TARGET libffi)
endif()
add_library(gosched::libffi INTERFACE IMPORTED)
if(LIBFFI_FOUND)
  target_link_libraries(gosched::libffi INTERFACE PkgConfig::LIBFFI)
else()
  find_path(GS_LIBFFI_INCLUDE_DIR ffi.h)
  find_library(GS_LIBFFI ffi)
  if(NOT GS_LIBFFI OR NOT GS_LIBFFI_INCLUDE_DIR)
    message(FATAL_ERROR "libffi and its header ffi.h were not found; gosched needs them to be "
                        "built (Debian and Ubuntu: apt-get install libffi-dev pkg-config; Fedora: "
                        "libffi-devel pkgconf)")
  endif()
  target_include_directories(gosched::libffi INTERFACE "${GS_LIBFFI_INCLUDE_DIR}")
  target_link_libraries(gosched::libffi INTERFACE "${GS_LIBFFI}")
endif()

if(GS_WHEEL)
  find_library(GS_LIBFFI_STATIC NAMES libffi_pic.a)
  if(GS_LIBFFI_STATIC)
    set_property(TARGET gosched::libffi PROPERTY INTERFACE_LINK_LIBRARIES "${GS_LIBFFI_STATIC}")
    if(LIBFFI_FOUND)
      target_include_directories(gosched::libffi INTERFACE ${LIBFFI_INCLUDE_DIRS})
    endif()
  else()
    message(STATUS "The wheel needs the system's libffi: there is no libffi_pic.a to link into it")
  endif()
endif()
