/* guests.h: interpreters that a test starts in its process, each on the calling thread. */
#ifndef TESTS_POLYGLOT_GUESTS_H
#define TESTS_POLYGLOT_GUESTS_H

#include <stddef.h>

/* Run a program in an interpreter of its own, and end that.  0, or 1 with the error in `error`. */
int run_lua(const char *program, char *error, size_t n);
int run_tcl(const char *program, char *error, size_t n);

#endif
