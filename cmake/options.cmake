# Every option of the build in one place.

set(for_wheel OFF)
if(DEFINED SKBUILD)
  set(for_wheel ON)
endif()

option(GS_TESTS "Build the tests" ${PROJECT_IS_TOP_LEVEL})
option(GS_DEBUG "Asserts, and checks of every state transition" OFF)
option(GS_TORTURE "Shrink every queue and force hand-offs, migrations and rare paths" OFF)
option(GS_FUZZ "Build the fuzz targets for libFuzzer; wants clang" OFF)
option(GS_COVERAGE "Count executed lines (gcov)" OFF)
# scikit-build-core, which makes the Python package, says that it does.
option(GS_WHEEL "Lay out the Python binding for a wheel, with libgosched beside the module"
       ${for_wheel})
option(GS_WERROR "Treat warnings as errors" OFF)
set(GS_SANITIZE "" CACHE STRING "What -fsanitize= gets, e.g. address,undefined")

foreach(language IN ITEMS PYTHON LUA TCL)
  set(GS_${language} AUTO CACHE STRING "Build the ${language} binding: AUTO, ON or OFF")
  set_property(CACHE GS_${language} PROPERTY STRINGS AUTO ON OFF)
  if(NOT GS_${language} MATCHES "^(AUTO|ON|OFF)$")
    message(FATAL_ERROR "GS_${language} is '${GS_${language}}'; it must be AUTO, ON or OFF")
  endif()
endforeach()
set(GS_PYTHON_EXECUTABLE "" CACHE FILEPATH "The Python to build for; empty: python3 on PATH")
if(for_wheel)
  set_property(CACHE GS_PYTHON_EXECUTABLE PROPERTY VALUE "${Python3_EXECUTABLE}")
endif()

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Build type" FORCE)
endif()

set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
# A build tree may be moved, and programs in it find the library beside them.
set(CMAKE_BUILD_RPATH_USE_ORIGIN ON)
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/lib")
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/lib")
