# The compiler flags of everything compiled in this tree, set for the directory: a test that forgot
# them would see other structures than the library it tests.
#
# Unwind tables are asked for everywhere, because tracebacks walk through stacks that have no main
# at their end; frame pointers are kept where somebody will look at the code with a debugger.

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
# What is public says so in its header (GS_API) or by an export attribute of its own.
set(CMAKE_C_VISIBILITY_PRESET hidden)

# gs_c_flags(<flag>…): for C, not for assembly.
function(gs_c_flags)
  foreach(flag IN LISTS ARGN)
    set_property(DIRECTORY APPEND PROPERTY COMPILE_OPTIONS "$<$<COMPILE_LANGUAGE:C>:${flag}>")
  endforeach()
endfunction()

add_compile_options(-fasynchronous-unwind-tables)
gs_c_flags(-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith)

if(GS_WERROR)
  gs_c_flags(-Werror)
endif()

if(GS_DEBUG)
  # RelWithDebInfo defines NDEBUG; a debug build wants its asserts whatever the build type is.
  add_compile_definitions(GS_DEBUG=1)
  add_compile_options(-UNDEBUG)
  gs_c_flags(-fno-omit-frame-pointer)
endif()

if(GS_TORTURE)
  add_compile_definitions(GS_TORTURE=1)
endif()

if(GS_SANITIZE)
  add_compile_options(-fsanitize=${GS_SANITIZE})
  gs_c_flags(-fno-omit-frame-pointer -fno-sanitize-recover=undefined)
  add_link_options(-fsanitize=${GS_SANITIZE})
endif()

if(GS_COVERAGE)
  add_compile_options(--coverage -fprofile-update=atomic)
  add_link_options(--coverage)
endif()
