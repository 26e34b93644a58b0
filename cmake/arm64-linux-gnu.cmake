# Cross-compiling for 64-bit Arm with Debian's compiler, and running what comes out with qemu-user:
# the preset arm64, which ./dev test --arch arm64 uses.
#
# The compiler brings its own C library (libc6-dev-arm64-cross).  libffi and cmocka for arm64 are
# expected unpacked below GS_SYSROOT, which ./dev fills with Debian's packages; nothing of another
# architecture is installed on the system.

set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)

set(gs_triplet aarch64-linux-gnu)
set(CMAKE_C_COMPILER ${gs_triplet}-gcc)
set(CMAKE_ASM_COMPILER ${gs_triplet}-gcc)
set(CMAKE_CXX_COMPILER ${gs_triplet}-g++)

get_filename_component(gs_root "${CMAKE_CURRENT_LIST_DIR}" DIRECTORY)
set(GS_SYSROOT "${gs_root}/build/sysroot-arm64" CACHE PATH "Where arm64 packages are unpacked")
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES GS_SYSROOT)

# Programs are the host's; headers and libraries are the target's.
set(CMAKE_FIND_ROOT_PATH "${GS_SYSROOT}" "/usr/${gs_triplet}")
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
# For find_library, which looks in lib/<architecture> too.
set(CMAKE_LIBRARY_ARCHITECTURE ${gs_triplet})

# Paths in the packages' .pc files are those of the unpacked tree.
set(ENV{PKG_CONFIG_DIR} "")
set(ENV{PKG_CONFIG_PATH} "")
set(ENV{PKG_CONFIG_SYSROOT_DIR} "${GS_SYSROOT}")
set(ENV{PKG_CONFIG_LIBDIR}
    "${GS_SYSROOT}/usr/lib/${gs_triplet}/pkgconfig:${GS_SYSROOT}/usr/share/pkgconfig")

# Debian's compiler looks for the headers of an architecture in its own folder, not in ours.
set(CMAKE_C_STANDARD_INCLUDE_DIRECTORIES "${GS_SYSROOT}/usr/include/${gs_triplet}")

# -L: where the emulated program finds its dynamic linker and C library.
set(CMAKE_CROSSCOMPILING_EMULATOR "qemu-aarch64;-L;/usr/${gs_triplet}")
