/* targets.h: the C functions that the rows call as foreign ones.
 *
 * They live in a shared library of their own (libgsbench_targets), as a user's C library would, so
 * that no compiler sees both a call and what is called.  Python loads the same library; Go's side
 * declares the same functions in its preamble, since cgo compiles C with the package.
 */
#ifndef GSBENCH_TARGETS_H
#define GSBENCH_TARGETS_H

int gsbench_empty(void *arg);                 /* does nothing, returns 0 */
int gsbench_nap(void *usec);                  /* usleep(*(unsigned *)usec); returns 0 */
int gsbench_int0(void);                       /* returns 0 */
int gsbench_int1(int a);                      /* returns a */
int gsbench_int4(int a, int b, int c, int d); /* returns their sum */
int gsbench_int6(int a, int b, int c, int d, int e, int f);               /* returns their sum */
int gsbench_int8(int a, int b, int c, int d, int e, int f, int g, int h); /* the same */
int gsbench_spin(int ns);      /* returns ns, after so long */
int gsbench_add(int a, int b); /* returns their sum */

#endif
