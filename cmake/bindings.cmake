# The bindings: each folder's list finds what it needs, or says by gs_leave_out why it is not
# built.  Set here is where they put things, so that all of them and ./dev agree.

# GS_PYTHON_INSTALL_DIR: where the Python that is built for looks below a prefix.  Debian's own
# Python reads dist-packages below /usr/local and /usr, all others site-packages.
if(NOT GS_PYTHON STREQUAL "OFF")
  if(NOT GS_PYTHON_EXECUTABLE)
    find_program(gs_python3 python3)
    if(gs_python3)
      set_property(CACHE GS_PYTHON_EXECUTABLE PROPERTY VALUE "${gs_python3}")
    endif()
  endif()
  if(GS_PYTHON_EXECUTABLE)
    execute_process(
      COMMAND
        "${GS_PYTHON_EXECUTABLE}" -c
        "import sys, sysconfig
debian = 'deb_system' in sysconfig.get_scheme_names() and sys.argv[1] in ('/usr', '/usr/local')
print('python%d.%d/%s-packages' % (*sys.version_info[:2], 'dist' if debian else 'site'))"
        "${CMAKE_INSTALL_PREFIX}"
      OUTPUT_VARIABLE python_dir
      OUTPUT_STRIP_TRAILING_WHITESPACE
      RESULT_VARIABLE failed)
    if(failed)
      message(FATAL_ERROR "GS_PYTHON_EXECUTABLE (${GS_PYTHON_EXECUTABLE}) does not run: ${failed}")
    endif()
    set(GS_PYTHON_INSTALL_DIR "lib/${python_dir}")
  endif()
endif()
if(NOT GS_LUA_INSTALL_DIR) # a rock has the module beside the library
  set(GS_LUA_INSTALL_DIR "lib/lua/5.4")
endif()
set(GS_TCL_INSTALL_DIR "lib/tcltk/gosched${PROJECT_VERSION}")

# gs_install_rpath(<target> <install dir>): lets an installed module find libgosched of its prefix,
# wherever that prefix is moved to.
function(gs_install_rpath target dir)
  file(RELATIVE_PATH up "/prefix/${dir}" "/prefix/${CMAKE_INSTALL_LIBDIR}")
  set_target_properties(${target} PROPERTIES INSTALL_RPATH "$ORIGIN/${up}")
endfunction()

# gs_add_guest(<language> <build dir of the binding> <its install dir> <source>…): the plugin with
# the language's interpreter, the target gosched_guest_<language>, in gosched/ beside the library.
# It finds the binding from where it lies itself: GUEST_DIRS is that place from the plugin, in the
# build tree and in a prefix.
function(gs_add_guest language build_dir install_dir)
  set(target gosched_guest_${language})
  set(plugin_dir "${CMAKE_INSTALL_LIBDIR}/gosched")
  add_library(${target} MODULE ${ARGN})
  file(RELATIVE_PATH in_build "${PROJECT_BINARY_DIR}/lib/gosched" "${build_dir}")
  file(RELATIVE_PATH in_prefix "/prefix/${plugin_dir}" "/prefix/${install_dir}")
  target_compile_definitions(
    ${target} PRIVATE _GNU_SOURCE=1 "GUEST_DIRS=\"${in_build}\", \"${in_prefix}\"")
  target_link_libraries(${target} PRIVATE gosched::gosched ${CMAKE_DL_LIBS})
  set_target_properties(
    ${target} PROPERTIES PREFIX "" OUTPUT_NAME gosched-guest-${language}
                         LIBRARY_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/lib/gosched")
  gs_install_rpath(${target} "${plugin_dir}")
  install(TARGETS ${target} LIBRARY DESTINATION "${plugin_dir}")
endfunction()

foreach(language IN ITEMS python lua tcl)
  string(TOUPPER ${language} option)
  set(folder "${PROJECT_SOURCE_DIR}/bindings/${language}")
  if(GS_${option} STREQUAL "OFF")
    set_property(GLOBAL APPEND PROPERTY GS_LEFT_OUT "bindings/${language}: GS_${option} is OFF")
  elseif(EXISTS "${folder}/CMakeLists.txt")
    add_subdirectory("${folder}")
  endif()
endforeach()
