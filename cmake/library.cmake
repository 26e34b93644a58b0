# libgosched: the objects of core/ and ffi/, compiled once, as a shared and as a static library.

find_package(Threads REQUIRED)
include(libffi)

# ---- which sources ---------------------------------------------------------------------------

string(TOLOWER "${CMAKE_SYSTEM_PROCESSOR}" processor)
if(processor MATCHES "^(x86_64|amd64)$")
  set(GS_ARCH amd64)
elseif(processor MATCHES "^(aarch64|arm64)$")
  set(GS_ARCH arm64)
else()
  set(GS_ARCH ${processor})
endif()

# The files of core/os that belong to this system.
if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
  set(os_files "^(linux|posix|netpoll_epoll)[a-z_]*\\.c$")
else()
  message(FATAL_ERROR "gosched has no core/os file for ${CMAKE_SYSTEM_NAME}; it runs on Linux")
endif()

file(GLOB core_sources CONFIGURE_DEPENDS core/*.c)
file(GLOB os_sources CONFIGURE_DEPENDS core/os/*.c)
file(GLOB arch_sources CONFIGURE_DEPENDS core/arch/${GS_ARCH}*.S core/arch/${GS_ARCH}*.c)
file(GLOB ffi_sources CONFIGURE_DEPENDS ffi/*.c ffi/arch/${GS_ARCH}*.S
     ffi/arch/${GS_ARCH}*.c)
foreach(file IN LISTS os_sources)
  get_filename_component(name "${file}" NAME)
  if(name MATCHES "${os_files}")
    list(APPEND core_sources "${file}")
  endif()
endforeach()
if(NOT arch_sources)
  message(FATAL_ERROR "gosched has no context switch for ${CMAKE_SYSTEM_PROCESSOR}: there is no "
                      "core/arch/${GS_ARCH}.S")
endif()

# ---- public headers, gathered in <build>/include ---------------------------------------------

set(GS_INCLUDE_DIR "${PROJECT_BINARY_DIR}/include")
set(GS_PUBLIC_HEADERS core/gosched.h core/gosched_embed.h core/gosched_inspect.h
    core/gosched_domain.h core/gosched_shared.h ffi/gosched_ffi.h)
math(EXPR GS_VERSION_NUMBER "${PROJECT_VERSION_MAJOR} * 10000 + ${PROJECT_VERSION_MINOR} * 100")
math(EXPR GS_VERSION_NUMBER "${GS_VERSION_NUMBER} + ${PROJECT_VERSION_PATCH}")
file(MAKE_DIRECTORY "${GS_INCLUDE_DIR}")
configure_file(cmake/gosched_version.h.in "${GS_INCLUDE_DIR}/gosched_version.h" @ONLY)
foreach(header IN LISTS GS_PUBLIC_HEADERS)
  get_filename_component(name "${header}" NAME)
  # A link, not a copy: what the compiler complains about is the file one edits.
  file(CREATE_LINK "${PROJECT_SOURCE_DIR}/${header}" "${GS_INCLUDE_DIR}/${name}" COPY_ON_ERROR
       SYMBOLIC)
endforeach()

# ---- objects ---------------------------------------------------------------------------------

add_library(gosched_core OBJECT ${core_sources} ${arch_sources})
target_include_directories(gosched_core PRIVATE core PUBLIC "${GS_INCLUDE_DIR}")

add_library(gosched_ffi OBJECT ${ffi_sources})
target_include_directories(gosched_ffi PRIVATE ffi PUBLIC "${GS_INCLUDE_DIR}")
target_link_libraries(gosched_ffi PRIVATE gosched::libffi)

foreach(objects IN ITEMS gosched_core gosched_ffi)
  set_target_properties(${objects} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  target_compile_definitions(${objects} PRIVATE GS_BUILDING=1 _GNU_SOURCE=1)
  if(NOT GS_WHEEL) # which may be unpacked anywhere
    target_compile_definitions(
      ${objects} PRIVATE "GS_GUEST_DIR=\"${CMAKE_INSTALL_FULL_LIBDIR}/gosched\"")
  endif()
  # Green threads have small stacks with one guard page: a large frame must not jump over it.
  target_compile_options(${objects} PRIVATE $<$<COMPILE_LANGUAGE:C>:-fstack-clash-protection>)
  if(GS_ARCH STREQUAL "arm64" AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
    # gcc takes arm64's guards for 64 KiB unless told: theirs are one page, of 4 KiB at least.
    target_compile_options(
      ${objects} PRIVATE $<$<COMPILE_LANGUAGE:C>:--param=stack-clash-protection-guard-size=12>)
  endif()
  target_link_libraries(${objects} PRIVATE Threads::Threads)
endforeach()

# What changes stacks is what debuggers and profilers walk through.  perf follows frame pointers.
# gdb breaks (13, "cache_new_ref1: Assertion `*slot == NULL' failed") at a function whose unwind rules
# say that it is a signal frame, as theirs do, if it was reached by a jump instead of a call.  What
# tells gdb of such jumps is the call sites in the debug information; this flavour of it has none.
set(gs_no_call_sites "$<$<CONFIG:Debug,RelWithDebInfo>:-gdwarf-4;-gstrict-dwarf>")
foreach(name IN ITEMS core/call_opts core/callback core/cgocall core/detach core/unblock)
  set_source_files_properties(
    "${PROJECT_SOURCE_DIR}/${name}.c" PROPERTIES COMPILE_OPTIONS
                                                 "${gs_no_call_sites};-fno-omit-frame-pointer")
endforeach()
foreach(name IN ITEMS core/switch ffi/call ffi/call_opts ffi/callback)
  set_source_files_properties("${PROJECT_SOURCE_DIR}/${name}.c" PROPERTIES COMPILE_OPTIONS
                                                                        "${gs_no_call_sites}")
endforeach()

# ---- libraries -------------------------------------------------------------------------------

# An archive has no version script: all that its objects share among each other would be the
# program's to clash with.  So its objects become one, in which only what begins with gs_ has a name
# for others.
set(one "${CMAKE_CURRENT_BINARY_DIR}/CMakeFiles/gosched_one${CMAKE_C_OUTPUT_EXTENSION}")
add_custom_command(
  OUTPUT "${one}"
  COMMAND "${CMAKE_LINKER}" -r -o "${one}" $<TARGET_OBJECTS:gosched_core>
          $<TARGET_OBJECTS:gosched_ffi>
  COMMAND "${CMAKE_OBJCOPY}" --wildcard "--keep-global-symbol=gs_*" "${one}"
  DEPENDS $<TARGET_OBJECTS:gosched_core> $<TARGET_OBJECTS:gosched_ffi>
  COMMAND_EXPAND_LISTS VERBATIM
  COMMENT "One object for the static library")
set_source_files_properties("${one}" PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)

add_library(gosched_shared SHARED)
add_library(gosched_static STATIC "${one}")
# For tests that look inside.
add_library(gosched_internal STATIC)
add_library(gosched::gosched ALIAS gosched_shared)
add_library(gosched::static ALIAS gosched_static)
foreach(library IN ITEMS gosched_shared gosched_internal)
  target_sources(${library} PRIVATE $<TARGET_OBJECTS:gosched_core> $<TARGET_OBJECTS:gosched_ffi>)
endforeach()
foreach(library IN ITEMS gosched_shared gosched_static gosched_internal)
  target_include_directories(${library} INTERFACE $<BUILD_INTERFACE:${GS_INCLUDE_DIR}>
                                                  $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_link_libraries(
    ${library} PRIVATE Threads::Threads ${CMAKE_DL_LIBS} $<BUILD_INTERFACE:gosched::libffi>
                       $<INSTALL_INTERFACE:ffi>)
  set_target_properties(${library} PROPERTIES OUTPUT_NAME gosched LINKER_LANGUAGE C)
endforeach()
set_target_properties(gosched_internal PROPERTIES OUTPUT_NAME gosched_internal)
set_target_properties(gosched_static PROPERTIES EXPORT_NAME static)
set_target_properties(
  gosched_shared
  PROPERTIES EXPORT_NAME gosched
             VERSION ${PROJECT_VERSION}
             SOVERSION ${GS_SOVERSION}
             LINK_DEPENDS "${PROJECT_SOURCE_DIR}/cmake/gosched.map")
# nodelete: threads of the runtime live as long as the process, so its code must stay mapped also
# when the program that loaded it (as an extension of some language) calls dlclose.
target_link_options(gosched_shared PRIVATE
                    "LINKER:--version-script=${PROJECT_SOURCE_DIR}/cmake/gosched.map"
                    "LINKER:-z,relro,-z,now,-z,nodelete"
                    # Its own functions are called directly, not by the table for other libraries.
                    LINKER:-Bsymbolic-functions)
if(NOT GS_SANITIZE)
  target_link_options(gosched_shared PRIVATE "LINKER:-z,defs")
endif()
