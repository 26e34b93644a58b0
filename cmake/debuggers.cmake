# gosched-gdb.py under the name by which gdb loads it with the library: beside it, in the build tree
# and where it is installed.  gdb asks for more trust than that (auto-load safe-path) except below
# its own data directory, so for the prefix /usr it is installed there.

get_filename_component(gs_gdb_dir "${CMAKE_LIBRARY_OUTPUT_DIRECTORY}" ABSOLUTE)
set(gs_gdb_script "${gs_gdb_dir}/libgosched.so.${PROJECT_VERSION}-gdb.py")
configure_file(tools/gdb/gosched-gdb.py "${gs_gdb_script}" COPYONLY)
install(
  CODE "set(gs_gdb_dir \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_LIBDIR}\")
if(CMAKE_INSTALL_PREFIX STREQUAL \"/usr\")
  set(gs_gdb_dir \"/usr/share/gdb/auto-load/usr/${CMAKE_INSTALL_LIBDIR}\")
endif()
file(INSTALL DESTINATION \"\${gs_gdb_dir}\" TYPE FILE FILES \"${gs_gdb_script}\")")
