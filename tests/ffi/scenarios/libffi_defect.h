/* libffi_defect.h: the one known way in which the libffi that Debian ships passes arguments wrong.
 */
#ifndef TESTS_FFI_LIBFFI_DEFECT_H
#define TESTS_FFI_LIBFFI_DEFECT_H

#include <stdbool.h>

#include "gosched_ffi.h"

bool libffi_corrupts(const gs_func *f);

#endif
