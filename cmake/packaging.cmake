# Installing the C library: headers, libraries, pkg-config and CMake package.  The bindings install
# themselves.  gosched.pc finds its prefix from where it lies, so an installed tree can be moved.

include(CMakePackageConfigHelpers)

set(cmake_dir "${CMAKE_INSTALL_LIBDIR}/cmake/gosched")
install(
  TARGETS gosched_shared gosched_static
  EXPORT gosched
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT gosched NAMESPACE gosched:: DESTINATION ${cmake_dir} FILE goschedTargets.cmake)
install(FILES ${GS_PUBLIC_HEADERS} "${GS_INCLUDE_DIR}/gosched_version.h"
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

configure_package_config_file(cmake/goschedConfig.cmake.in goschedConfig.cmake
                              INSTALL_DESTINATION ${cmake_dir})
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file(goschedConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/goschedConfig.cmake"
              "${PROJECT_BINARY_DIR}/goschedConfigVersion.cmake" DESTINATION ${cmake_dir})

# The same file twice: for the prefix, and for the build tree, whose layout is that of a prefix.
set(GS_PC_INCLUDEDIR "${CMAKE_INSTALL_INCLUDEDIR}")
set(GS_PC_LIBDIR "${CMAKE_INSTALL_LIBDIR}")
file(RELATIVE_PATH GS_PC_PREFIX "/prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/prefix")
configure_file(cmake/gosched.pc.in gosched.pc @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/gosched.pc"
        DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")

set(GS_PC_INCLUDEDIR include)
set(GS_PC_LIBDIR lib)
set(GS_PC_PREFIX "../..")
configure_file(cmake/gosched.pc.in lib/pkgconfig/gosched.pc @ONLY)
