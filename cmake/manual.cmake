# The manual pages, made from the public headers by tools/manpages.py: sections 3 and 7 in
# <build>/man, installed with the library.

find_package(Python3 COMPONENTS Interpreter QUIET)
if(NOT Python3_Interpreter_FOUND)
  set_property(GLOBAL APPEND PROPERTY GS_LEFT_OUT "manual pages: there is no python3 to make them")
  return()
endif()

set(GS_MAN_DIR "${PROJECT_BINARY_DIR}/man")
set(manual_headers ${GS_PUBLIC_HEADERS})
list(TRANSFORM manual_headers PREPEND "${PROJECT_SOURCE_DIR}/")
add_custom_command(
  OUTPUT "${GS_MAN_DIR}/made"
  COMMAND Python3::Interpreter "${PROJECT_SOURCE_DIR}/tools/manpages.py" --version
          ${PROJECT_VERSION} --out "${GS_MAN_DIR}" ${manual_headers}
  COMMAND "${CMAKE_COMMAND}" -E touch "${GS_MAN_DIR}/made"
  DEPENDS ${manual_headers} "${PROJECT_SOURCE_DIR}/tools/manpages.py"
  COMMENT "Manual pages"
  VERBATIM)
add_custom_target(gosched_manual ALL DEPENDS "${GS_MAN_DIR}/made")
install(DIRECTORY "${GS_MAN_DIR}/man3" "${GS_MAN_DIR}/man7" DESTINATION "${CMAKE_INSTALL_MANDIR}")
