/* library.h: a real library, declared by its own header as the preprocessor leaves it.
 *
 * All of this can be called on green threads and off them; what goes wrong is a failed CHECK, but
 * for library_open.
 */
#ifndef TESTS_FFI_LIBRARIES_LIBRARY_H
#define TESTS_FFI_LIBRARIES_LIBRARY_H

#include <stdbool.h>

#include "support.h"

#include "gosched_ffi.h"

typedef struct library {
  gs_ffi *ffi;
  gs_lib *lib;
} library;

/* header is a file of the build's; false: the library is not installed, and why is printed. */
bool library_open(library *l, const char *header, const char *soname);
void library_close(library *l);

gs_func *library_func(const library *l, const char *name);
/* The function with one further argument of that type. */
gs_func *library_variadic(const library *l, const char *name, const char *type);
int64_t library_constant(const library *l, const char *name);

#define CALL(f, ret, ...) CHECK_CODE(gs_ffi_call((f), (ret), (void *[]){__VA_ARGS__}, NULL), GS_OK)

#endif
