# Saying what is not built, and why.  A binding whose headers are missing is left out of a build
# with AUTO, is an error with ON, and never goes unmentioned.

# gs_leave_out(<option> <what> <reason>): call it and return() from the binding's list.
function(gs_leave_out option what reason)
  if("${${option}}" STREQUAL "ON")
    message(FATAL_ERROR "${what} cannot be built: ${reason} (${option} is ON)")
  endif()
  set_property(GLOBAL APPEND PROPERTY GS_LEFT_OUT "${what}: ${reason}")
endfunction()

# Prints the list, and keeps it in <build>/left-out.txt, where ./dev reads it.
function(gs_print_left_out)
  get_property(left_out GLOBAL PROPERTY GS_LEFT_OUT)
  set(text "")
  foreach(line IN LISTS left_out)
    message(STATUS "Left out: ${line}")
    string(APPEND text "${line}\n")
  endforeach()
  file(WRITE "${PROJECT_BINARY_DIR}/left-out.txt" "${text}")
endfunction()
