/* group.h: a library of scenarios, loaded and declared, for the programs that run its signatures.
 */
#ifndef TESTS_FFI_SCENARIOS_GROUP_H
#define TESTS_FFI_SCENARIOS_GROUP_H

#include "support.h"

#include "gosched_ffi.h"
#include "scenario.h"

enum { MOST_ARGUMENTS = 255 };

extern gs_ffi *ffi;
extern gs_lib *lib;
extern const group *scenarios;

/* Whether an error while preparing is one that the signature allows for: a reason is given, and
 * true comes back.  Any other error fails the test. */
bool group_refused(const signature *s, int code, const gs_ffi_error *err);

/* Its function, from the declaration; NULL: declined. */
gs_func *declared(const signature *s);

/* Whether libffi makes the calls of structs. */
bool by_libffi(void);

/* Loads the library that the command line names, and runs a test for each signature (its state is
 * the signature) and one for all. */
int group_main(int argc, char **argv, void (*each)(void **), void (*all)(void **));

#endif
